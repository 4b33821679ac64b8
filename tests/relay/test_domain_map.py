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


def by_the_book(keys, name):
    """The same rule told another way: how far from the right is `name` known as a branch?"""
    labels = name.split(".")[::-1]
    branches = {
        tuple(key.split(".")[::-1][:n]) for key in keys for n in range(1, key.count(".") + 2)
    }
    known = 0
    while known < len(labels) and tuple(labels[: known + 1]) in branches:
        known += 1
    found = labels if known == len(labels) else [*labels[:known], "*"]
    key = ".".join(found[::-1])
    return key if key in keys else None


@settings(deadline=None, max_examples=300)
@given(st.lists(st.text("ab.*", max_size=7), max_size=8), st.text("ab.*", max_size=7))
def test_it_finds_what_the_rule_says(keys, name):
    """Against the rule in other words, for any keys and names."""
    assert DomainMap((key, key) for key in keys).get(name) == by_the_book(keys, name)
