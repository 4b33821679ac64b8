"""What a webhook was sent, into lines of log records: pure, bounded, and nothing believed.

A body is one record, an array of records, or records one a line (NDJSON), plain, gzip or zstd,
which its first bytes tell. KumoMTA's log hooks send the first two (policy-extras/log_hooks.lua).
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from guard.records import decode
from guard.sources.unpack import HEAD, Damaged, unpacker_for

_array = msgspec.json.Decoder(list[msgspec.Raw])
_value = msgspec.json.Decoder(msgspec.Raw)


class TooLarge(ValueError):
    """A body that unpacks to more than the bound."""


@dataclass(frozen=True, slots=True)
class Body:
    """The records of one body as lines without line ends, and how many parts were no records."""

    records: tuple[bytes, ...]
    faults: int


def unpack(packed: bytes, bound: int) -> bytes:
    """The body as it was before compression. Raises TooLarge or Damaged."""
    pieces: list[bytes] = []
    size = 0

    def take(piece: bytes) -> None:
        nonlocal size
        size += len(piece)
        if size > bound:
            raise TooLarge(f"more than {bound} bytes")
        pieces.append(piece)

    unpacker_for(packed[:HEAD]).feed(packed, take)
    return b"".join(pieces)


def records_of(body: bytes) -> Body:
    """The records in an unpacked body. Never raises."""
    parts = _parts(body.strip())
    good: list[bytes] = []
    for part in parts:
        # JSON has line ends between its tokens only, never inside a string (RFC 8259, section 7).
        line = part.replace(b"\n", b" ").replace(b"\r", b" ").strip()
        try:
            decode(line)
        except ValueError:
            continue
        good.append(line)
    return Body(tuple(good), len(parts) - len(good))


def _parts(body: bytes) -> list[bytes]:
    """The values that may be records."""
    try:
        if body.startswith(b"["):
            return [bytes(raw) for raw in _array.decode(body)]
        return [bytes(_value.decode(body))]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return [line for line in body.split(b"\n") if line.strip()]


__all__ = ["Body", "Damaged", "TooLarge", "records_of", "unpack"]
