"""guard/smtp/lines.py: bytes into lines, the same in any pieces, in bounded memory."""

from hypothesis import given
from hypothesis import strategies as st

from guard.smtp import replies
from guard.smtp.lines import Line, Lines


def cut(pieces, limit=10):
    """Every line that comes of the pieces."""
    lines, found = Lines(limit), []
    for piece in pieces:
        lines.add(piece)
        while (line := lines.next()) is not None:
            found.append(line)
    return found


def test_lines_and_their_faults():
    """CRLF ends a line; a bare LF ends one that is refused; so do length and encoding."""
    long, bare = replies.LINE_TOO_LONG, replies.BARE_LF
    assert cut([b"EHLO x\r\n\r\nNOOP\nA\xff\r\n" + b"a" * 10 + b"\r\n" + b"b" * 11 + b"\r\nQ"]) == [
        Line("EHLO x"),
        Line(""),
        Line("NOOP", bare),
        Line(None, replies.NOT_UTF8),
        Line("a" * 10),
        Line(None, long),
    ]
    assert cut([b"a" * 50, b"b" * 50, b"\nNOOP\r\n"]) == [Line(None, long), Line("NOOP")]


PARTS = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"abc", b"a" * 9, b"\xff"]), max_size=30)


@given(PARTS)
def test_pieces_make_no_difference(parts):
    """Whole, as they are, and byte by byte."""
    data = b"".join(parts)
    assert cut([data]) == cut(parts) == cut([data[i : i + 1] for i in range(len(data))])


def test_memory_is_bounded():
    """A line without end is not kept."""
    lines = Lines(998)
    for _ in range(100):
        lines.add(b"x" * 65536)
        assert lines.next() is None
    assert len(lines._buffer) < 1000


def test_time_is_linear():
    """Many short lines at once are not copied over and over."""
    lines = Lines(998)
    lines.add(b"NOOP\r\n" * 500_000)
    count = 0
    while lines.next() is not None:
        count += 1
    assert count == 500_000


def test_what_is_not_read_can_be_taken_or_forgotten():
    """For a body that begins behind a command, and for STARTTLS."""
    lines = Lines(998)
    lines.add(b"DATA\r\nbody")
    lines.next()
    assert lines.peek() == b"body"
    assert lines.take() == b"body"
    lines.add(b"more")
    lines.clear()
    assert lines.take() == b""
