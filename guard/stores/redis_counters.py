"""Counters in Redis: hashes of many networks, one script call per batch.

A network lies in one of 64 hash slots, by a checksum of its text, so that a batch is at most 64
calls in Redis Cluster and all of a network is in one slot. docs/redis.md is the contract.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from guard.events import JOIN, Batch, Offence, Overflow, Part, Window
from guard.lib.networks import Network
from guard.roles import Unavailable
from guard.stores.outbox import Owed
from guard.stores.redis_batch import Call as Asked
from guard.stores.redis_batch import index_key, read, slot_of, text_of
from guard.stores.redis_link import RedisLink
from guard.stores.stream import KEY as STREAM

# The script: what windows are, the common cases of that, and what is done with them.
COUNT = "window+order+count"
MOST_LATE = 100_000
AT_ONCE = 2000

Stamp = tuple[str, int]


class _Call(NamedTuple):
    """What one call of the script counts, and where each offence stands in its batch."""

    parts: list[Part]
    places: list[int]
    stamp: Stamp | None = None
    entries: Sequence[bytes] = ()


class RedisCounters:
    """The role `Counters`, shared by all who use the same Redis.

    Alone it forgets marks, and counts twice what is told again; a Shelter has an outbox for that,
    and tells each batch with the host and number that it has there.
    """

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._late: dict[str, deque[_Call]] = {}
        self._rest: list[Overflow] = []
        self.dropped = 0

    def count(self, offences: Sequence[Offence], windows: Mapping[str, Window]) -> list[Overflow]:
        """The role's. One script for all, in which Redis does nothing else: 5000 take it 10 ms."""
        parts = [Part(offences, windows)] if offences else []
        return self._asked_for(self._tell(parts), windows)

    def count_once(self, batch: Batch) -> list[Overflow]:
        """The role's, as far as it goes without an outbox."""
        found = [*self._rest, *self._tell(batch.parts)]
        self._rest = []
        return found

    def _asked_for(
        self, found: Sequence[Overflow], windows: Mapping[str, Window]
    ) -> list[Overflow]:
        """What is told now; what comes late of other jails, when somebody asks who knows them."""
        held = [*self._rest, *found] if self._rest else found
        self._rest = [overflow for overflow in held if overflow.jail not in windows]
        return [overflow for overflow in held if overflow.jail in windows]

    def mark(self, source: str) -> bytes | None:
        """The role's: unknown."""
        del source
        return None

    def unsettled(self) -> list[Overflow]:
        """The role's: unknown."""
        return []

    def tell(self, owed: Owed) -> list[Overflow]:
        """Counts a batch that may have been told before. Batches of a host come in order.

        Entries of the stream that it was made of are let go of in the same step, but in a cluster.
        Raises Unavailable with nothing counted, or not known to be.
        """
        mark = owed.batch.mark
        entries = mark.place.split() if mark is not None and mark.source == STREAM else ()
        return self._tell(owed.batch.parts, owed[:2], entries)

    @property
    def late(self) -> set[Stamp]:
        """Which batches are not counted wholly, because nodes of the cluster are gone."""
        return {call.stamp for calls in self._late.values() for call in calls if call.stamp}

    def _tell(
        self, parts: Sequence[Part], stamp: Stamp | None = None, entries: Sequence[bytes] = ()
    ) -> list[Overflow]:
        if self._link.clustered:
            return self._tell_by_slot(parts, stamp)
        if not parts and not entries:
            return []
        return [found for _, found in self._run(_Call(list(parts), [], stamp, entries))]

    def _tell_by_slot(self, parts: Sequence[Part], stamp: Stamp | None) -> list[Overflow]:
        """Slot by slot, each a call of its own; those of one slot stay in order.

        Where some nodes are gone, what is theirs is kept for the next call; Unavailable is only
        said when nothing at all was counted.
        """
        calls = self._split(parts, stamp)
        for slot, call in calls.items():
            self._late.setdefault(slot, deque()).append(call)
        found: list[tuple[int, Overflow]] = []
        errors: list[Unavailable] = []
        for slot, queue in self._late.items():
            try:
                while queue:
                    found += self._run(queue[0], late=queue[0] is not calls.get(slot))
                    queue.popleft()
            except Unavailable as error:
                errors.append(error)
        if calls and all(self._late[slot] for slot in calls):
            for slot in calls:
                self._late[slot].pop()
            self._forget_empty()
            raise errors[0]
        self._forget_empty()
        return [overflow for _, overflow in sorted(found, key=itemgetter(0))]

    def _forget_empty(self) -> None:
        """Leaves out slots that wait for nothing, and the newest of what is more than the bound."""
        self._late = {slot: queue for slot, queue in self._late.items() if queue}
        waiting = sum(len(call.places) for queue in self._late.values() for call in queue)
        while waiting > MOST_LATE:
            longest = max(self._late.values(), key=len)
            number = len(longest.pop().places)
            waiting, self.dropped = waiting - number, self.dropped + number
            self._late = {slot: queue for slot, queue in self._late.items() if queue}

    def _split(self, parts: Sequence[Part], stamp: Stamp | None) -> dict[str, _Call]:
        calls: dict[str, _Call] = {}
        place = 0
        for part in parts:
            slots: dict[str, list[Offence]] = {}
            for offence in part.offences:
                slot = index_key(slot_of(text_of(offence.network)))
                call = calls.get(slot) or calls.setdefault(slot, _Call([], [], stamp))
                call.places.append(place)
                slots.setdefault(slot, []).append(offence)
                place += 1
            for slot, offences in slots.items():
                calls[slot].parts.append(Part(offences, part.windows))
        return calls

    def _run(self, call: _Call, *, late: bool = False) -> list[tuple[int, Overflow]]:
        """The windows filled, each with the place of the offence that filled it."""
        asked = Asked(call.parts)
        names = list(asked.keys)
        arguments: list[bytes | int] = [*asked.arguments, *call.entries]
        if call.stamp is not None:
            host, number = call.stamp
            slot = names[0][11:15] if self._link.clustered else "{last}"
            names += [STREAM] if call.entries else []
            names.append(f"guard:last:{slot}:{host}")
            arguments.insert(2, number)
        found = asked.filled(self._link.run(COUNT, names, arguments))
        if late or not call.places:
            return [(-1, overflow) for _, overflow in found]
        return [(call.places[index], overflow) for index, overflow in found]

    def counted(self, network: Network) -> list[Offence]:
        """The role's."""
        text = text_of(network)
        held = [
            Offence(jail, network, time)
            for value in self._link.run("held", [index_key(slot_of(text))], [0, text])
            for name, times in read(value).items()
            for jail in name.split(JOIN)
            for time in times
        ]
        return sorted(held, key=lambda offence: offence.time)

    def forget(self, *networks: Network) -> None:
        """The role's. Some thousand of a slot in a call."""
        slots: dict[int, list[str]] = {}
        for text in map(text_of, networks):
            slots.setdefault(slot_of(text), []).append(text)
        for slot, texts in slots.items():
            for first in range(0, len(texts), AT_ONCE):
                some = texts[first : first + AT_ONCE]
                self._link.run("held", [index_key(slot)], [1, *some])

    def info(self, section: str) -> dict[str, Any]:
        """What Redis says of itself; not for a cluster."""
        with self._link.errors():
            found: dict[str, Any] = self._link.client.info(section)
        return found

    def close(self) -> None:
        """Nothing: everything is in Redis, and the store closes the connection."""
