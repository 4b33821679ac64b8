"""Filters that look at several lines."""

from guard.filters.multiline import LineBuffer
from guard.filters.textfilter import Filter


def test_the_buffer_keeps_the_last_lines_and_forgets_what_matched():
    """Lines before and after a match stay, and those that it stepped over."""
    buffer = LineBuffer(4)
    for line in "abcd":
        buffer.add(line)
    text = buffer.add("e")
    assert text == "b\nc\nd\ne\n"
    buffer.use(text, text.index("c"), text.index("e") + 1, ["d\n"])
    assert buffer.add("f") == "b\nd\nf\n"


def test_an_expression_may_span_lines():
    """The address in one line, the failure in another, whatever stands between."""
    lines = Filter(
        "x",
        [r"^connect (?P<id>\d+) <ADDR>$<SKIPLINES>^fail (?P=id)$"],
        datepattern="{NONE}",
        maxlines=5,
    )
    said = [
        b"connect 1 192.0.2.1",
        b"connect 2 192.0.2.2",
        b"noise",
        b"fail 2",
        b"fail 1",
        b"fail 1",
    ]
    assert [(m.address if (m := lines.match(line, 0.0)) else None) for line in said] == [
        None, None, None, "192.0.2.2", "192.0.2.1", None,
    ]  # fmt: skip


def test_what_is_too_long_ago_is_forgotten():
    """Only `maxlines` lines are looked at."""
    lines = Filter("x", [r"^a <ADDR>$<SKIPLINES>^b$"], datepattern="{NONE}", maxlines=3)
    for line in (b"a 192.0.2.1", b"1", b"2"):
        assert lines.match(line, 0.0) is None
    assert lines.match(b"b", 0.0) is None
    assert lines.match(b"a 192.0.2.1", 0.0) is None
    assert lines.match(b"b", 0.0) is not None


def test_line_ends_of_other_systems_are_no_part_of_a_line():
    """A carriage return before the line end is cut, as fail2ban cuts it."""
    assert Filter("x", ["^x <ADDR>$"], datepattern="{NONE}").match(b"x 192.0.2.1\r", 0.0)
