"""The ledger as a value in memory: claims by source, strikes by network, what changed of late.

It does no I/O and reads no clock. The embedded ledger writes to SQLite what `drain` says; a copy
without a file serves replay.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from guard.events import Claim, Past, Remembered
from guard.lib.networks import Network

# A host that was away for longer reads the whole ledger again.
REMEMBERED_CHANGES = 100_000
# What has ended stays for so long, since clocks of hosts differ by seconds.
GRACE = 60.0
_EVER = math.inf
_NONE: Mapping[Network, Claim] = {}


def _end(until: float | None) -> float:
    return _EVER if until is None else until


@dataclass(slots=True)
class Record:
    """Strikes of one network by jail, and when its last ban ends or ended (inf: for ever)."""

    strikes: dict[str, int] = field(default_factory=dict)
    ended: float = -math.inf


class Dirty(NamedTuple):
    """What is to be written: claims (None: gone) and strikes (None: forgotten)."""

    claims: dict[tuple[str, Network], Claim | None]
    records: dict[Network, Record | None]


def alive(claim: Claim, now: float) -> bool:
    """Whether `claim` still holds at `now`."""
    return claim.until is None or claim.until > now


class Book:
    """`memory` is how many seconds after the end of its last ban a network's strikes stay."""

    def __init__(self, memory: float) -> None:
        self._memory = memory
        self._sources: dict[str, dict[Network, Claim]] = {}
        self._records: dict[Network, Record] = {}
        self._ends: list[tuple[float, Network, str]] = []
        self._forgets: list[tuple[float, Network]] = []
        self._changed: deque[Network] = deque(maxlen=REMEMBERED_CHANGES)
        self._version = 0
        self._dirty = Dirty({}, {})

    # Reading ------------------------------------------------------------------------------------

    def claims(self, now: float) -> list[Claim]:
        """Every live claim, oldest first."""
        held = (c for claims in self._sources.values() for c in claims.values() if alive(c, now))
        return sorted(held, key=lambda claim: claim.since)

    def size(self, now: float) -> int:
        """How many of them there are; looks at none but those that ended of late."""
        ended, places = set(), [0]
        # A heap: behind one that has not ended there is none that has.
        while places:
            place = places.pop()
            if place < len(self._ends) and self._ends[place][0] <= now:
                until, network, source = self._ends[place]
                claim = self._sources.get(source, {}).get(network)
                if claim is not None and claim.until == until:
                    ended.add((source, network))
                places += (2 * place + 1, 2 * place + 2)
        return sum(map(len, self._sources.values())) - len(ended)

    def past(self, network: Network, now: float) -> Past:
        """Live claims on exactly `network` and the strikes that are not forgotten."""
        live = []
        for claims in self._sources.values():
            claim = claims.get(network)
            if claim is not None and alive(claim, now):
                live.append(claim)
        record = self._records.get(network)
        if record is None or record.ended + self._memory <= now:
            return Past(tuple(live), {})
        return Past(tuple(live), dict(record.strikes))

    def pasts(self, networks: Iterable[Network], now: float) -> list[Past]:
        """`past` of each of `networks`, at a third of the cost: a thousand may be asked for."""
        found, new = [], tuple.__new__
        nothing = Past((), {})
        claimed = [held.get for held in self._sources.values() if held]
        record_of, memory = self._records.get, self._memory
        for network in networks:
            live: tuple[Claim, ...] = ()
            for claim_on in claimed:
                claim = claim_on(network)
                if claim is not None and ((until := claim.until) is None or until > now):
                    live = (*live, claim)
            record = record_of(network)
            if record is not None and record.ended + memory > now:
                found.append(new(Past, (live, dict(record.strikes))))
            else:
                found.append(new(Past, (live, {})) if live else nothing)
        return found

    @property
    def version(self) -> int:
        """Goes up by one with each network touched."""
        return self._version

    def changed_since(self, version: int) -> set[Network] | None:
        """Networks touched since `version`; None when that is too long ago."""
        count = self._version - version
        if not 0 <= count <= len(self._changed):
            return None
        return set(islice(reversed(self._changed), count))

    # Changing -----------------------------------------------------------------------------------

    def claim(self, claim: Claim, now: float, *, restored: bool = False) -> Claim:
        """Adds or replaces one claim and returns it as it stands; `restored` is no strike."""
        network, source, until = claim.network, claim.source, claim.until
        since, strikes = claim.since, claim.strikes if restored else 0
        if source.startswith("jail:"):
            old, end = self._sources.get(source, _NONE).get(network), _end(until)
            if old is not None and alive(old, now):
                since, strikes = old.since, old.strikes
                self._move(network, _end(old.until), end, now)
            elif not restored:
                strikes = self._strike(network, source, end, now)
        if strikes != claim.strikes or since != claim.since:
            claim = Claim(network, source, claim.reason, since, until, strikes)
        self.put(claim)
        self._touch(source, network, claim)
        return claim

    def _strike(self, network: Network, source: str, end: float, now: float) -> int:
        record = self._records.get(network)
        if record is None or record.ended + self._memory <= now:
            record, total = Record({source: 1}, end), 1
        else:
            strikes = record.strikes
            strikes[source] = strikes.get(source, 0) + 1
            record.ended, total = max(record.ended, end), sum(strikes.values())
        self.put_record(network, record)
        self._dirty.records[network] = record
        return total

    def _move(self, network: Network, old: float, end: float, now: float) -> None:
        """A ban that is replaced counts its strikes' age from its new end."""
        record = self._records.get(network)
        if record is None or record.ended + self._memory <= now:
            return
        if end > record.ended or end < record.ended <= old:
            record.ended = end
            self.put_record(network, record)
            self._dirty.records[network] = record

    def withdraw(self, network: Network | None, source: str | None, now: float) -> list[Claim]:
        """Ends claims; returns those that were live, oldest first."""
        ended = []
        for name in [source] if source is not None else list(self._sources):
            held = self._sources.get(name, {})
            for target in [network] if network is not None else list(held):
                claim = held.pop(target, None)
                if claim is None:
                    continue
                self._touch(name, target, None)
                if name.startswith("jail:"):
                    self._cut(target, now)
                if alive(claim, now):
                    ended.append(claim)
        return sorted(ended, key=lambda claim: claim.since)

    def _cut(self, network: Network, now: float) -> None:
        """A ban that was ended early counts its strikes' age from then."""
        record = self._records.get(network)
        if record is not None and record.ended > now:
            record.ended = now
            self.put_record(network, record)
            self._dirty.records[network] = record

    def replace(self, source: str, claims: Iterable[Claim], now: float) -> tuple[int, int]:
        """Makes `claims` all that `source` has; returns how many came and went."""
        wanted = {claim.network: claim for claim in claims}
        held = self._sources.setdefault(source, {})
        gone = [network for network in held if network not in wanted]
        came = sum(1 for network in wanted if network not in held)
        for network in gone:
            self.withdraw(network, source, now)
        for network, claim in wanted.items():
            old = held.get(network)
            if old is None or (old.until, old.reason) != (claim.until, claim.reason):
                self.claim(claim, now)
        return came, len(gone)

    def expire(self, now: float) -> None:
        """Lets go of claims that ended and strikes that are forgotten. Changes no answer."""
        now -= GRACE
        while self._ends and self._ends[0][0] <= now:
            until, network, source = heapq.heappop(self._ends)
            held = self._sources.get(source, {})
            claim = held.get(network)
            if claim is not None and claim.until == until:
                del held[network]
                self._dirty.claims[source, network] = None
        while self._forgets and self._forgets[0][0] <= now:
            _, network = heapq.heappop(self._forgets)
            record = self._records.get(network)
            if record is not None and record.ended + self._memory <= now:
                del self._records[network]
                self._dirty.records[network] = None

    def remembered(self) -> list[Remembered]:
        """Every network that has strikes."""
        return [
            Remembered(network, dict(r.strikes), None if math.isinf(r.ended) else r.ended)
            for network, r in self._records.items()
        ]

    def remember(self, row: Remembered) -> None:
        """Raises strikes and end to at least those of `row`."""
        record = self._records.get(row.network) or Record()
        for source, number in row.strikes.items():
            record.strikes[source] = max(number, record.strikes.get(source, 0))
        record.ended = max(record.ended, math.inf if row.ended is None else row.ended)
        self.put_record(row.network, record)
        self._dirty.records[row.network] = record

    # Loading and saving ---------------------------------------------------------------------------

    def put(self, claim: Claim) -> None:
        """Takes a claim as it is, as when it is read from disk."""
        network, source, until = claim.network, claim.source, claim.until
        held = self._sources.get(source)
        if held is None:
            held = self._sources[source] = {}
        held[network] = claim
        if until is not None:
            heapq.heappush(self._ends, (until, network, source))

    def put_record(self, network: Network, record: Record) -> None:
        """Takes strikes as they are."""
        self._records[network] = record
        ended = record.ended
        if ended < _EVER:
            heapq.heappush(self._forgets, (ended + self._memory, network))

    def drain(self) -> Dirty:
        """What changed since the last drain, for whoever keeps the file."""
        dirty, self._dirty = self._dirty, Dirty({}, {})
        return dirty

    def _touch(self, source: str, network: Network, claim: Claim | None) -> None:
        self._dirty.claims[source, network] = claim
        self._changed.append(network)
        self._version += 1
