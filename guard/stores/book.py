"""The ledger as a value in memory: bans and strikes by network, other claims by source, and what
changed of late.

It does no I/O and reads no clock. The embedded ledger writes to SQLite what `drain` says; a copy
without a file serves replay.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from itertools import islice
from operator import attrgetter
from typing import NamedTuple

from guard.events import Claim, Past, Remembered
from guard.lib.networks import Network
from guard.stores import bans
from guard.stores.bans import Row, Said, pack_into, said_by, strikes_of, unpack
from guard.stores.keys import Key, key_of, network_of
from guard.stores.turns import Turns

# A host that was away for longer reads the whole ledger again.
REMEMBERED_CHANGES = 100_000
# What has ended stays for so long, since clocks of hosts differ by seconds.
GRACE = 60.0
_JAIL = "jail:"
_SINCE = attrgetter("since")


class Dirty(NamedTuple):
    """What is to be written: claims (None: gone) and strikes (None: forgotten)."""

    claims: dict[tuple[str, Network], Claim | None]
    strikes: dict[Network, Remembered | None]


def alive(claim: Claim, now: float) -> bool:
    """Whether `claim` still holds at `now`."""
    return claim.until is None or claim.until > now


def _end(until: float | None) -> float:
    return math.inf if until is None else until


class Book:
    """`memory` is how many seconds after the end of its last ban a network's strikes stay."""

    def __init__(self, memory: float) -> None:
        self._memory = memory
        self._banned: dict[Key, bytes] = {}  # rows with a ban
        self._past: dict[Key, bytes] = {}  # with strikes alone: there may be many more of them
        self._bans = 0
        self._buffer = bytearray()
        self._others: dict[str, dict[Network, Claim]] = {}
        # Each row is there when it is due, each other claim when it ends.
        self._turns = Turns()
        self._changed: deque[Network | Key] = deque(maxlen=REMEMBERED_CHANGES)
        self._version = 0
        self._dirty = Dirty({}, {})

    # Reading ------------------------------------------------------------------------------------

    def claims(self, now: float) -> list[Claim]:
        """Every live claim, oldest first."""
        held = [c for claims in self._others.values() for c in claims.values() if alive(c, now)]
        append = held.append
        for key, row in self._banned.items():
            for said in unpack(row):
                if said.alive(now):
                    append(said.claim(network_of(key)))
        held.sort(key=_SINCE)
        return held

    def size(self, now: float) -> int:
        """How many of them there are; looks at none but those that ended of late."""
        ended = 0
        for network in map(network_of, self._turns.begun(now)):
            row = self._row(key_of(network))[0]
            ended += sum(1 for said in row if said.reason is not None and not said.alive(now))
            here = (held.get(network) for held in self._others.values())
            ended += sum(1 for claim in here if claim is not None and not alive(claim, now))
        return self._bans + sum(map(len, self._others.values())) - ended

    def pasts(self, networks: Iterable[Network], now: float) -> list[Past]:
        """For each of `networks`, exactly: its live claims, and strikes that are not forgotten."""
        found, new = [], tuple.__new__
        nothing = Past((), {})
        banned, past, memory = self._banned.get, self._past.get, self._memory
        claimed = [held.get for held in self._others.values() if held]
        for network in networks:
            live: tuple[Claim, ...] = ()
            strikes: dict[str, int] = {}
            key = key_of(network)
            if (packed := banned(key) or past(key)) is not None:
                row = unpack(packed)
                for said in row:
                    if said.alive(now):
                        live = (*live, said.claim(network))
                if row[0].ended + memory > now:
                    strikes = strikes_of(row)
            for claim_on in claimed:
                claim = claim_on(network)
                if claim is not None and ((until := claim.until) is None or until > now):
                    live = (*live, claim)
            found.append(new(Past, (live, strikes)) if live or strikes else nothing)
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
        touched = set(islice(reversed(self._changed), count))
        return {held if isinstance(held, Network) else network_of(held) for held in touched}

    def remembered(self) -> list[Remembered]:
        """Every network that has strikes."""
        rows = [*self._banned.items(), *self._past.items()]
        found = (bans.remembered(network_of(key), unpack(row)) for key, row in rows)
        return [row for row in found if row is not None]

    # Changing -----------------------------------------------------------------------------------

    def claim(self, claim: Claim, now: float, *, restored: bool = False) -> Claim:
        """Adds or replaces one claim and returns it as it stands; `restored` is no strike."""
        if claim.source.startswith(_JAIL):
            return self._ban(claim, now, restored=restored)
        if claim.strikes and not restored:
            claim = Claim(claim.network, claim.source, claim.reason, claim.since, claim.until)
        self.put(claim)
        self._touch(claim.source, claim.network, claim, claim.network)
        return claim

    def _ban(self, claim: Claim, now: float, *, restored: bool) -> Claim:
        network, source, until = claim.network, claim.source, claim.until
        since, strikes, end = claim.since, claim.strikes, _end(until)
        key = key_of(network)
        row, due = self._row(key)
        said = said_by(source, row)
        if said.alive(now):
            since, strikes = said.since, said.strikes
            self._move(network, row, _end(said.until), end, now)
        elif not restored:
            strikes = self._strike(network, row, said, end, now)
        if strikes != claim.strikes or since != claim.since:
            claim = Claim(network, source, claim.reason, since, until, strikes)
        self._set(said, claim)
        self._keep(key, row, due)
        self._touch(source, network, claim, key)
        return claim

    def _strike(self, network: Network, row: Row, said: Said, end: float, now: float) -> int:
        if said.ended + self._memory <= now:
            bans.forget(row)
        said.struck += 1
        bans.end(row, max(said.ended, end))
        self._dirty.strikes[network] = bans.remembered(network, row)
        return sum([said.struck for said in row])

    def _move(self, network: Network, row: Row, old: float, end: float, now: float) -> None:
        """A ban that is replaced counts its strikes' age from its new end."""
        ended = row[0].ended
        if ended + self._memory > now and (end > ended or end < ended <= old):
            bans.end(row, end)
            self._dirty.strikes[network] = bans.remembered(network, row)

    def withdraw(self, network: Network | None, source: str | None, now: float) -> list[Claim]:
        """Ends claims; returns those that were live, oldest first."""
        ended = []
        for name, held in self._others.items():
            if source in (None, name):
                for target in [network] if network is not None else list(held):
                    claim = held.pop(target, None)
                    if claim is not None:
                        self._touch(name, target, None, target)
                        ended.append(claim)
        if source is None or source.startswith(_JAIL):
            for target in [network] if network is not None else map(network_of, [*self._banned]):
                ended += self._release(target, source, now)
        return sorted([claim for claim in ended if alive(claim, now)], key=_SINCE)

    def _release(self, network: Network, source: str | None, now: float) -> list[Claim]:
        key = key_of(network)
        row, due = self._row(key)
        released = []
        for said in row:
            if said.reason is not None and (source is None or source == said.source):
                released.append(said.claim(network))
                self._set(said, None)
                self._touch(said.source, network, None, key)
        if not released:
            return released
        if row[0].ended > now:  # a ban that is ended early counts its strikes' age from then
            bans.end(row, now)
            self._dirty.strikes[network] = bans.remembered(network, row)
        self._keep(key, bans.speaking(row), due)
        return released

    def replace(self, source: str, claims: Iterable[Claim], now: float) -> tuple[int, int]:
        """Makes `claims` all that `source` has; returns how many came and went."""
        wanted = {claim.network: claim for claim in claims}
        held = self._held(source)
        gone = [network for network in held if network not in wanted]
        came = sum(1 for network in wanted if network not in held)
        for network, claim in wanted.items():
            old = held.get(network)
            if old is None or (old.until, old.reason) != (claim.until, claim.reason):
                self.claim(claim, now)
        for network in gone:
            self.withdraw(network, source, now)
        return came, len(gone)

    def _held(self, source: str) -> dict[Network, Claim]:
        """All claims of `source`, also those that have ended."""
        if not source.startswith(_JAIL):
            return self._others.get(source, {})
        return {
            (network := network_of(key)): said.claim(network)
            for key, row in self._banned.items()
            for said in unpack(row)
            if said.source == source and said.reason is not None
        }

    def expire(self, now: float) -> None:
        """Lets go of claims that ended and strikes that are forgotten. Changes no answer."""
        now -= GRACE
        for key in self._turns.over(now):
            network = network_of(key)
            for source, held in self._others.items():
                claim = held.get(network)
                if claim is not None and not alive(claim, now):
                    del held[network]
                    self._dirty.claims[source, network] = None
            self._expire(key, network, now)

    def _expire(self, key: Key, network: Network, now: float) -> None:
        row, due = self._row(key)
        if due > now:
            return
        for said in row:
            if said.reason is not None and not said.alive(now):
                self._set(said, None)
                self._dirty.claims[said.source, network] = None
        if row[0].ended + self._memory <= now:
            bans.forget(row)
            self._dirty.strikes[network] = None
        self._keep(key, bans.speaking(row), due)

    def remember(self, wanted: Remembered) -> None:
        """Raises strikes and end to at least those of `wanted`."""
        key = key_of(wanted.network)
        row, due = self._row(key)
        for source, number in wanted.strikes.items():
            said = said_by(source, row)
            said.struck = max(number, said.struck)
        if row:
            bans.end(row, max(row[0].ended, _end(wanted.ended)))
            self._dirty.strikes[wanted.network] = bans.remembered(wanted.network, row)
        self._keep(key, bans.speaking(row), due)

    # Loading and saving ---------------------------------------------------------------------------

    def put(self, claim: Claim) -> None:
        """Takes a claim as it is, as when it is read from disk."""
        network, source, until = claim.network, claim.source, claim.until
        if source.startswith(_JAIL):
            key = key_of(network)
            row, due = self._row(key)
            self._set(said_by(source, row), claim)
            self._keep(key, row, due)
            return
        held = self._others.get(source)
        if held is None:
            held = self._others[source] = {}
        held[network] = claim
        if until is not None:
            self._turns.add(key_of(network), until)

    def drain(self) -> Dirty:
        """What changed since the last drain, for whoever keeps the file."""
        dirty, self._dirty = self._dirty, Dirty({}, {})
        return dirty

    def _row(self, key: Key) -> tuple[Row, float]:
        """The row of `key`, to be changed and kept, and when it is due."""
        packed = self._banned.get(key) or self._past.get(key)
        if packed is None:
            return [], math.inf
        row = unpack(packed)
        return row, bans.outlook(row, self._memory)[1]

    def _set(self, said: Said, claim: Claim | None) -> None:
        self._bans += (claim is not None) - (said.reason is not None)
        if claim is None:
            said.reason = said.until = None
        else:
            said.reason, said.since, said.until = claim.reason, claim.since, claim.until
            said.strikes = claim.strikes

    def _keep(self, key: Key, row: Row, before: float) -> None:
        """Keeps a row that was due at `before`."""
        banned, due = bans.outlook(row, self._memory)
        keep, leave = (self._banned, self._past) if banned else (self._past, self._banned)
        leave.pop(key, None)
        if row:
            pack_into(row, self._buffer)
            keep[key] = bytes(self._buffer)
        else:
            keep.pop(key, None)
        if due != before:
            self._turns.add(key, due)

    def _touch(
        self, source: str, network: Network, claim: Claim | None, held: Network | Key
    ) -> None:
        """`held` is the network in the form in which it is kept anyway."""
        self._dirty.claims[source, network] = claim
        self._changed.append(held)
        self._version += 1
