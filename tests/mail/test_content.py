"""A message's bytes: what they are, and how DATA wants them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.mail.content import Stuffing, facts


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", (False, False, 0, b"")),
        (b"Subject: x\r\n\r\nbody", (False, False, 0, b"Subject: x")),
        (b"Subject: x\r\n\r\nb\xc3\xb6dy", (True, False, 0, b"Subject: x")),
        (b"Subject: \xc3\xb6\r\n\r\nbody", (True, True, 0, "Subject: ö".encode())),
        (
            b"Received: a\r\nRECEIVED : b\r\nX-Received: c\r\n Received: d\r\n\r\nReceived: e\r\n",
            (False, False, 2, b"Received: a\r\nRECEIVED : b\r\nX-Received: c\r\n Received: d"),
        ),
        (b"\r\nReceived: x", (False, False, 0, b"")),
    ],
)
def test_facts(data: bytes, expected: tuple[bool, bool, int, bytes]):
    """Only headers count as hops; only bytes beyond ASCII are 8-bit."""
    for size in (1, 3, 1000):
        found = facts(data[i : i + size] for i in range(0, len(data), size))
        assert (found.eight_bit, found.utf8_headers, found.hops, found.head) == expected


def unstuff(wire: bytes) -> bytes:
    """What a server makes of the bytes after 354."""
    assert wire.endswith(b".\r\n")
    lines = wire[:-3].split(b"\r\n")
    assert b"." not in lines, "the message would end here"
    return b"\r\n".join(line.removeprefix(b".") for line in lines)


def stuff(data: bytes, size: int) -> bytes:
    """`data` on the wire, in pieces."""
    state = Stuffing()
    pieces = [state.piece(data[i : i + size]) for i in range(0, len(data), size)]
    return b"".join(pieces) + state.end()


@given(
    st.lists(st.sampled_from([b".", b"..", b"a", b"", b".a", b"x.", b"\xff"])).map(b"\r\n".join),
    st.integers(1, 5),
)
@settings(deadline=None)
def test_dots_survive(data: bytes, size: int):
    """Whatever lines a message has and wherever it is cut, the server gets it back."""
    ended = data if data.endswith(b"\r\n") or not data else data + b"\r\n"
    assert unstuff(stuff(data, size)) == ended


def test_the_empty_message():
    """It has an end too."""
    assert stuff(b"", 1) == b".\r\n"
    assert Stuffing().piece(b"") == b""
