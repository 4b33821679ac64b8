"""What delivery has to know of a message's bytes, and its bytes as DATA wants them. Pure.

Reads a message in pieces; holds one at a time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

PIECE = 256 * 1024
_HEADERS_READ = 256 * 1024
_RECEIVED = re.compile(rb"(?:\A|\n)received[ \t]*:", re.IGNORECASE)
_END_OF_HEADERS = re.compile(rb"\A\r?\n|\r?\n\r?\n")


@dataclass(frozen=True, slots=True)
class Facts:
    """`hops` are Received headers (RFC 5321, 6.3), `head` is the header section, cut if huge."""

    eight_bit: bool
    utf8_headers: bool
    hops: int
    head: bytes


@dataclass(frozen=True, slots=True)
class Opened:
    """A message being read: its bytes begin at `offset` of `file`, which the reader closes."""

    file: BinaryIO
    offset: int
    facts: Facts


@dataclass(frozen=True, slots=True)
class Mail:
    """One transaction: what to send to whom.

    `smtputf8` is whether the message came to us with that word.
    """

    sender: str
    recipients: Sequence[str]
    size: int
    facts: Facts
    smtputf8: bool = False

    @property
    def utf8_addresses(self) -> bool:
        """Whether an address is beyond ASCII (RFC 6531, 3.4)."""
        return not all(address.isascii() for address in (self.sender, *self.recipients))

    @property
    def utf8_headers(self) -> bool:
        """Whether it is international by its headers.

        Old programs send such headers without a word, and every server lets them pass; where the
        sender said SMTPUTF8, they may not go to a server that never heard of it.
        """
        return self.smtputf8 and self.facts.utf8_headers


def facts(pieces: Iterable[bytes]) -> Facts:
    """What `pieces`, a whole message, are."""
    eight_bit, start = False, bytearray()
    for piece in pieces:
        eight_bit = eight_bit or not piece.isascii()
        if len(start) < _HEADERS_READ:
            start += piece[: _HEADERS_READ - len(start)]
    end = _END_OF_HEADERS.search(start)
    head = bytes(start if end is None else start[: end.start()])
    return Facts(eight_bit, not head.isascii(), len(_RECEIVED.findall(head)), head)


class Stuffing:
    """Turns a message, piece by piece, into what follows DATA (RFC 5321, 4.5.2)."""

    def __init__(self) -> None:
        self._line_start = True
        self._last = b""

    def piece(self, data: bytes) -> bytes:
        """The next bytes to send."""
        if not data:
            return b""
        stuffed = data.replace(b"\n.", b"\n..")
        if self._line_start and data.startswith(b"."):
            stuffed = b"." + stuffed
        self._line_start = data.endswith(b"\n")
        self._last = (self._last + data[-2:])[-2:]
        return stuffed

    def end(self) -> bytes:
        """The end of the message."""
        return b".\r\n" if self._last in (b"", b"\r\n") else b"\r\n.\r\n"
