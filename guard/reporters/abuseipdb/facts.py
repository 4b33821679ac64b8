"""What is told of one offender: kinds, counts and times, and not a word that a peer wrote.

The only form in which a report is ever kept. Text in it comes from Guard's own vocabulary.
"""

from __future__ import annotations

import msgspec


class Part(msgspec.Struct, frozen=True):
    """What one jail saw: so many `rejections` `within` a time (a duration of ours).

    `kinds` has how often each kind was seen on this host, which in a fleet is not all.
    """

    rejections: int
    within: str
    kinds: dict[str, int] = {}


class Facts(msgspec.Struct, frozen=True):
    """One report to be: `address` is canonical, `time` that of the ban, `until` its end.

    `network` is what was banned, which may be wider.
    """

    address: str
    time: float
    until: float | None
    categories: list[int]
    parts: list[Part]
    network: str = ""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Facts).decode


def packed(facts: Facts) -> bytes:
    """As the outbox keeps it."""
    return _encode(facts)


def unpacked(payload: bytes) -> Facts:
    """What `packed` made."""
    return _decode(payload)


def merged(old: bytes, new: bytes) -> bytes:
    """Two bans of an address that wait together are one report: all that was seen."""
    one, other = unpacked(old), unpacked(new)
    until = None if None in (one.until, other.until) else max(one.until or 0, other.until or 0)
    parts = [*one.parts, *(part for part in other.parts if part not in one.parts)]
    return packed(
        Facts(
            address=one.address,
            time=max(one.time, other.time),
            until=until,
            categories=sorted({*one.categories, *other.categories}),
            parts=parts[-10:],
            network=other.network,
        )
    )
