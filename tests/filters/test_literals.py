"""The literal text that every match contains."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.filters.literals import needed_literal


@pytest.mark.parametrize(
    ("pattern", "literal"),
    [
        ("^abc$", "abc"),
        ("a|b", ""),
        ("(a|b) from (?P<x>c)", " from "),
        (r"x\.y\-z\sw", "x.y-z"),
        ("abc?def", "def"),
        ("abc*", "ab"),
        ("ab+c", "ab"),
        ("a{12}bc", "bc"),
        ("ab{1,2}", "a"),
        (r"[^]]x", "x"),
        (r"[a\]b]long", "long"),
        ("(?i)abc", ""),
        ("(?:(?i:abc))d", "d"),
        (r"ab\x41cd", ""),
        (r"(a)\1bc", ""),
        (r"a\(b", "a(b"),
        ("", ""),
        ("(unclosed", ""),
        ("[unclosed", ""),
        ("trailing\\", "trailing"),
    ],
)
def test_literals(pattern, literal):
    """Quantifiers take their character away, groups and classes are stepped over."""
    assert needed_literal(pattern) == literal


PIECES = st.sampled_from(
    ["a", "b", "ab", "a?", "b*", "a+", "ab{2}", "(a|b)", "(?:ab)?", "[ab]", "[^a]", r"\.", r"\w",
     ".", "|", "(?=a)", "(?!b)", "a{0,1}", r"\ba", "b+?", "(a(b)?)+", r"[\]a]", "{", "}"]
)  # fmt: skip


@settings(deadline=None, max_examples=500)
@given(st.lists(PIECES, max_size=6), st.text(alphabet="ab.]{} ", max_size=12))
def test_every_match_contains_it(pieces, text):
    """Whatever the expression: where it matches, the text is there."""
    try:
        found = re.search("".join(pieces), text)
    except re.error:
        return
    if found:
        assert needed_literal("".join(pieces)) in text
