"""What jails say of one network, packed: who bans it, and how often each did.

There may be very many bans, and of most little is ever asked: what is kept of one takes some
seventy bytes, and its values are made when it is read. Nothing here reads a clock or knows where it
is kept.
"""

from __future__ import annotations

from math import ceil, inf, isfinite

import msgspec

from guard.events import Claim, Remembered
from guard.lib.networks import Network

FORGOTTEN = -inf
# Strikes are forgotten at full hours, those of an hour together.
_HOUR = 3600.0


class Said(msgspec.Struct, gc=False, array_like=True):
    """What one jail says of a network: how often it struck, and a ban, unless `reason` is None.

    `ended` is the same in all that is said of the network: when its last ban ends or ended (inf:
    never), FORGOTTEN where there are no strikes.
    """

    source: str
    ended: float
    struck: int = 0
    reason: str | None = None
    since: float = 0.0
    until: float | None = None
    strikes: int = 0

    def alive(self, now: float) -> bool:
        """Whether there is a ban that still holds at `now`."""
        return self.reason is not None and (self.until is None or self.until > now)

    def claim(self, network: Network) -> Claim:
        """The ban, of `network`."""
        reason = self.reason or ""
        return Claim(network, self.source, reason, self.since, self.until, self.strikes)


Row = list[Said]
# Into a buffer, to be copied: what `encode` returns takes up to a third more than it says.
pack_into = msgspec.msgpack.Encoder().encode_into
unpack = msgspec.msgpack.Decoder(Row).decode


def said_by(source: str, row: Row) -> Said:
    """What `source` says in `row`, made where it says nothing."""
    for said in row:
        if said.source == source:
            return said
    said = Said(source, row[0].ended if row else FORGOTTEN)
    row.append(said)
    return said


def end(row: Row, ended: float) -> None:
    """Notes when the last ban ends."""
    for said in row:
        said.ended = ended


def forget(row: Row) -> None:
    """Forgets all strikes."""
    for said in row:
        said.struck, said.ended = 0, FORGOTTEN


def strikes_of(row: Row) -> dict[str, int]:
    """How often each jail struck."""
    if len(row) == 1:  # nearly always, and several times as fast
        (said,) = row
        return {said.source: said.struck} if said.struck else {}
    return {said.source: said.struck for said in row if said.struck}


def remembered(network: Network, row: Row) -> Remembered | None:
    """The strikes of a network; None where there are none."""
    strikes = strikes_of(row)
    if not strikes:
        return None
    ended = row[0].ended
    return tuple.__new__(Remembered, (network, strikes, ended if isfinite(ended) else None))


def speaking(row: Row) -> Row:
    """`row` without those who say nothing any more."""
    return [said for said in row if said.struck or said.reason is not None]


def outlook(row: Row, memory: float) -> tuple[bool, float]:
    """Whether anybody bans, and when that ends or, where nobody does, when strikes are forgotten.

    That is after `memory` seconds. What never comes is at inf.
    """
    first, banned = inf, False
    for said in row:
        if said.reason is not None:
            banned = True
            if said.until is not None and said.until < first:
                first = said.until
    if banned or not row or not isfinite(row[0].ended):
        return banned, first
    return False, ceil((row[0].ended + memory) / _HOUR) * _HOUR
