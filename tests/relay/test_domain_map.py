"""KumoMTA's domain map: the documented look-ups, and the surprising ones."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.relay.domain_map import DomainMap

MAP = DomainMap([("*.example.com", 42), ("example.com", 24), ("a.b.c.example.com", 128)])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("example.com", 24),
        ("x.example.com", 42),
        ("y.x.example.com", 42),
        ("a.b.c.example.com", 128),
        ("c.example.com", None),
        ("b.c.example.com", None),
        ("x.c.example.com", None),
        ("0.a.b.c.example.com", None),
        ("Example.com", None),
        ("example.com.", None),
        ("com", None),
        ("example.net", None),
        ("", None),
    ],
)
def test_a_longer_key_takes_its_whole_branch_from_the_wildcard(name, value):
    """Any depth below a wildcard, not the apex, no going back, and byte for byte."""
    assert MAP.get(name) == value


def test_a_bare_wildcard_holds_only_where_the_top_level_is_unknown():
    """`*` is a label like others: a known TLD hides it, an unknown one and "" do not."""
    some = DomainMap([("*", 1), ("example.com", 2)])
    assert (some.get("example.com"), some.get("other.com"), some.get("com")) == (2, None, None)
    assert (some.get("example.net"), some.get(""), some.get("*")) == (1, 1, 1)


def test_a_wildcard_in_the_middle_matches_nothing_real():
    """The value of `foo.*.net` is below the `*` label, where a real label never arrives."""
    some = DomainMap([("foo.*.net", 1)])
    assert some.get("foo.bar.net") is None
    assert some.get("foo.*.net") == 1


def test_the_later_of_two_equal_keys_wins():
    """As in KumoMTA's insert, which replaces."""
    assert DomainMap([("a", 1), ("a", 2)]).get("a") == 2
    assert DomainMap[int]().get("a") is None


def test_kumomtas_own_vectors(shared: Path):
    """Every look-up that KumoMTA's tests and documentation state gives what they state."""
    vectors = json.loads((shared / "kumomta/vectors/domain_map_vectors.json").read_text())
    rows = 0
    for case in vectors["maps"]:
        made = DomainMap(case["map"].items())
        for name, value in case["lookups"].items():
            assert made.get(name) == value, name
            rows += 1
    assert rows == 14


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text("ab.*", max_size=7), max_size=8), st.text("ab.*", max_size=7))
def test_it_finds_what_it_was_given_and_only_by_the_stated_rule(keys, name):
    """Any key is found under its own name; anything else found is one `*` below a shared tail."""
    some = DomainMap((key, key) for key in keys)
    for key in keys:
        assert some.get(key) == key
    found = some.get(name)
    if found is not None and found != name:
        star, _, tail = found.partition(".")
        assert star == "*"
        assert not tail or name.endswith("." + tail)
