"""guard/smtp/body.py: where a message ends, what is in it, and why it is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.smtp import replies
from guard.smtp.body import Body


def receive(pieces, size_limit=10_000, line_limit=20):
    """The message, what follows it (None: no end yet) and the fault, fed piece by piece."""
    body, message, rest = Body(size_limit, line_limit), b"", None
    for piece in pieces:
        if rest is not None:
            rest += piece
            continue
        part, rest = body.feed(piece)
        if not body.fault:
            message += part
    return (None if body.fault else message), rest, body.fault, body.size


CASES = [
    (b".\r\n", b"", b"", None),
    (b"\r\n.\r\n", b"\r\n", b"", None),
    (b"a\r\n.\r\nNOOP\r\n", b"a\r\n", b"NOOP\r\n", None),
    (b"..a\r\n..\r\n.b\r\n.\r\n", b".a\r\n.\r\nb\r\n", b"", None),
    (b"a\r\n.", b"a", None, None),
    (b"a\n.\n.\r\n", None, None, replies.BARE_LINE_END),
    (b"a\n.\r\nb\r\n.\r\n", None, b"", replies.BARE_LINE_END),
    (b"a\r.\r\r\n.\r\n", None, b"", replies.BARE_LINE_END),
    (b"a\r\r\n.\r\n", None, b"", replies.BARE_LINE_END),
    (b"a\r\n\x00.\r\n.\r\n", None, b"", replies.BARE_LINE_END),
    (b"\x00\x00.\x00\r\na\r\n.\r\n", None, b"", replies.BARE_LINE_END),
    (b"a\r\n\x00\r\na\x00.\r\n\x00.a\r\n.\r\n", b"a\r\n\x00\r\na\x00.\r\n\x00.a\r\n", b"", None),
    (b"a" * 20 + b"\r\n.\r\n", b"a" * 20 + b"\r\n", b"", None),
    (b"." + b"." * 20 + b"\r\n.\r\n", b"." * 20 + b"\r\n", b"", None),
    (b"a" * 21 + b"\r\n.\r\n", None, b"", replies.LINE_TOO_LONG),
    (b"a\n" * 100 + b"\r\n.\r\n", None, b"", replies.LINE_TOO_LONG),
    (b"a\r\n" * 4000 + b".\r\n", None, b"", replies.TOO_BIG),
    (b"\r" + b"x" * 40 + b"\n.\r\n" + b"\r\n.\r\n", None, b"", replies.LINE_TOO_LONG),
]


@pytest.mark.parametrize(("data", "message", "rest", "fault"), CASES)
def test_cases(data, message, rest, fault):
    """Whole and byte by byte: the same message, the same rest, the same fault."""
    whole = receive([data])
    assert whole[1:3] == (rest, fault)
    if rest is not None:
        assert whole[0] == message
        assert whole == receive([data[i : i + 1] for i in range(len(data))])


PARTS = st.sampled_from(
    [b"\r\n", b".", b"\r", b"\n", b"\r\n.\r\n", b"\r\n.", b"a" * 19, b"x", b"\0", b"a" * 40]
)


@given(st.lists(PARTS, max_size=30).map(b"".join), st.lists(st.integers(1, 400), max_size=30))
def test_the_pieces_make_no_difference(data, cuts):
    """However the network cuts the bytes, the outcome is the same."""
    data += b"\r\n.\r\nrest"
    pieces, at = [], 0
    for cut in cuts:
        pieces.append(data[at : at + cut])
        at += cut
    pieces.append(data[at:])
    whole = receive([data], 100)
    assert whole == receive(pieces, 100)
    assert whole == receive([data[i : i + 1] for i in range(len(data))], 100)


LINES = st.binary(max_size=18).map(lambda b: b.translate(None, b"\r\n"))


@given(
    st.lists(LINES.filter(lambda b: not (b[:1] == b"\0" and b.strip(b"\0") == b".")), max_size=20)
)
def test_what_is_sent_properly_arrives(lines):
    """Dot-stuffing there and back again is nothing (RFC 5321, section 4.5.2)."""
    message = b"".join(line + b"\r\n" for line in lines)
    sent = b"".join((b"." + line if line[:1] == b"." else line) + b"\r\n" for line in lines)
    assert receive([sent + b".\r\n"]) == (message, b"", None, len(message))


def test_memory_is_bounded():
    """A line without end, in pieces, is not kept."""
    body = Body(10_000, 998)
    for _ in range(1000):
        body.feed(b"x" * 65536)
    assert len(body._carry) < 2000
    assert body.fault is replies.TOO_BIG
