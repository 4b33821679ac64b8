"""Entries that hide what broader ones say: told where they stand, and only where they do."""

import tomllib

from guard.relay.hiding import hidden
from guard.relay.listener_domains import parse


def told(text: str) -> list[str]:
    """`key: message` of each warning, the common ending left out."""
    found = hidden(parse(tomllib.loads(text), "d").entries)
    return [f"{f.key} {f.message.replace(', for entries do not merge', '')}" for f in found]


def test_an_exact_name_hides_the_wildcard_and_ends_its_reach():
    """What the wildcard switches on and the entry does not set is gone, and so below it."""
    assert told('["*.a.test"]\nrelay_to = true\nlog_oob = true\n["b.a.test"]\nlog_oob = true') == [
        '"b.a.test" hides relay_to of "*.a.test"',
        '"b.a.test" takes names below b.a.test out of "*.a.test": a longer key ends its reach',
    ]


def test_what_an_entry_sets_itself_is_meant():
    """`false` written out is no accident; nor is a wildcard that says nothing."""
    assert told('["*.a.test"]\nrelay_to = true\n["*.b.a.test"]\nrelay_to = false') == []
    assert told('["*.a.test"]\nrelay_to = false\n["b.a.test"]\nlog_oob = true') == []
    assert told('["a.test"]\nrelay_to = true\n["b.test"]\nlog_oob = true') == []


def test_names_between_a_long_key_and_its_wildcard_are_lost():
    """No back-tracking: c.a.test and b.c.a.test match nothing any more."""
    assert told(
        '["*.a.test"]\nlog_arf = true\n["x.b.c.a.test"]\nlog_arf = true\n["*.x.b.c.a.test"]\n'
        "log_arf = true"
    ) == [
        '"x.b.c.a.test" takes b.c.a.test, c.a.test out of "*.a.test": a longer key ends its reach',
        '"*.x.b.c.a.test" takes b.c.a.test, c.a.test out of "*.a.test": '
        "a longer key ends its reach",
    ]


def test_the_entry_for_every_domain_is_hidden_by_any_other():
    """`*` is no default that the others build upon."""
    assert told('["*"]\nlog_oob = true\n["a.test"]\nrelay_to = true') == [
        '"a.test" hides log_oob of "*"'
    ]


def test_a_listeners_section_hides_what_holds_for_all_listeners():
    """The exact entry hides its namesake; its wildcard hides whatever it covers."""
    text = """
    ["b.a.test"]
    relay_to = true
    ["c.a.test"]
    relay_from = ["192.0.2.1"]
    ["other.test"]
    relay_to = true
    [listener."192.0.2.1:25"."b.a.test"]
    log_oob = true
    [listener."192.0.2.2:25"."*.a.test"]
    relay_to = false
    """
    assert told(text) == [
        'listener."192.0.2.1:25"."b.a.test" hides relay_to of "b.a.test"',
        'listener."192.0.2.2:25"."*.a.test" hides relay_from of "c.a.test"',
    ]


def test_a_listeners_exact_entry_hides_the_wildcard_of_all_listeners():
    """Where no namesake exists, the wildcard or `*` of all listeners is what is hidden."""
    section = '[listener."192.0.2.1:25"."b.a.test"]\n'
    key = 'listener."192.0.2.1:25"."b.a.test"'
    assert told('["*.a.test"]\nrelay_to = true\n' + section) == [
        f'{key} hides relay_to of "*.a.test"'
    ]
    assert told('["*"]\nlog_arf = true\n' + section) == [f'{key} hides log_arf of "*"']


def test_a_listeners_own_entry_for_every_domain_ends_at_each_top_level_domain_it_names():
    """Said once for each, not where `*.test` mends it, and as the look-up has it."""
    section = '[listener."192.0.2.1:25"'
    every = f'{section}."*"]\nrelay_to = true\n'
    names = "".join(f'{section}."{name}.test"]\nrelay_to = true\n' for name in "abcde")
    assert told(every + names) == [
        'listener."192.0.2.1:25"."a.test" takes all other names of .test out of '
        'listener."192.0.2.1:25"."*": a longer key ends its reach; 4 more entries alike'
    ]
    found = parse(tomllib.loads(every + names), "d")
    assert found.find("x.example", "192.0.2.1:25")
    assert found.find("a.test", "192.0.2.1:25")
    assert not found.find("x.test", "192.0.2.1:25")
    mended = told(f'{every}{names}{section}."*.test"]\nrelay_to = true\n')
    assert not [line for line in mended if "all other names" in line]
    assert not told(f'{section}."*"]\n{names}')
    assert not told('["*"]\nrelay_to = true\n["a.test"]\nrelay_to = true\n')


def test_a_thousand_alike_are_one_warning():
    """A long file below a `*` must not bury every other warning."""
    text = '["*"]\nlog_oob = true\n' + "".join(f'["d{n}.test"]\n' for n in range(1000))
    found = told(text)
    assert found == ['"d0.test" hides log_oob of "*"; 999 more entries alike']


def test_a_wide_section_of_a_listener_is_one_warning():
    """However many entries it hides."""
    text = "".join(f'["d{n}.test"]\nrelay_to = true\n' for n in range(1000))
    assert told(text + '[listener."192.0.2.1:25"."*"]\nlog_arf = true\n') == [
        'listener."192.0.2.1:25"."*" hides relay_to of "d0.test"; relay_to of "d1.test"; '
        'relay_to of "d2.test"; and more'
    ]
