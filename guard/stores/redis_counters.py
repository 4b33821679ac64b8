"""Counters in Redis: one hash per network, one script call per batch.

The keys of a network lie in one of 64 hash slots, by a checksum of its text, so that a batch is at
most 64 calls in Redis Cluster and all of a network is in one slot. docs/redis.md is the contract.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import ceil
from zlib import crc32

import msgspec

from guard.events import Offence, Overflow, Window
from guard.jails.window import times_of
from guard.lib.networks import Network
from guard.stores.redis_link import RedisLink

LATE = 3600.0
_pack = msgspec.msgpack.Encoder().encode


@lru_cache(maxsize=65536)
def hits_key(network: Network) -> str:
    """The key of the hash that counts `network`."""
    text = str(network)
    return f"guard:hits:{{{crc32(text.encode()) & 63:02x}}}:{text}"


class RedisCounters:
    """The role `Counters`, shared by all who use the same Redis."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    def count(self, offences: Sequence[Offence], windows: Mapping[str, Window]) -> list[Overflow]:
        """The role's. One script for all, in which Redis does nothing else: 2000 take it 10 ms."""
        if self._link.clustered:
            return self._count_by_slot(offences, windows)
        return [overflow for _, overflow in self._call(offences, windows)] if offences else []

    def _count_by_slot(
        self, offences: Sequence[Offence], windows: Mapping[str, Window]
    ) -> list[Overflow]:
        slots: dict[str, list[int]] = {}
        for index, offence in enumerate(offences):
            slots.setdefault(hits_key(offence.network)[:15], []).append(index)
        found = []
        for indices in slots.values():
            answer = self._call([offences[index] for index in indices], windows)
            found += [(indices[at], overflow) for at, overflow in answer]
        return [overflow for _, overflow in sorted(found, key=lambda pair: pair[0])]

    def _call(
        self, offences: Sequence[Offence], windows: Mapping[str, Window]
    ) -> list[tuple[int, Overflow]]:
        """The windows filled, each with the index of the offence that filled it."""
        keys: dict[str, int] = {}
        jails = {jail: index for index, jail in enumerate(windows, 1)}
        flat: list[float] = []
        extend = flat.extend
        for jail, network, time, rejections in offences:
            key = hits_key(network)
            extend((keys.setdefault(key, len(keys) + 1), jails[jail], float(time), rejections))
        limits = [
            (jail, window.maxretry, float(window.findtime), kept(window))
            for jail, window in windows.items()
        ]
        full = self._link.run("count", list(keys), [_pack((limits, flat))])
        found = []
        for index, total in zip(full[::2], full[1::2], strict=True):
            jail, network, time, _ = offences[index - 1]
            found.append((index - 1, Overflow(jail, network, time, total)))
        return found

    def counted(self, network: Network) -> list[Offence]:
        """The role's."""
        with self._link.errors():
            fields = self._link.client.hgetall(hits_key(network))
        held = [
            Offence(jail.decode(), network, time)
            for jail, packed in fields.items()
            for time in times_of(packed)
        ]
        return sorted(held, key=lambda offence: offence.time)

    def forget(self, network: Network) -> None:
        """The role's."""
        with self._link.errors():
            self._link.client.delete(hits_key(network))

    def close(self) -> None:
        """Nothing: everything is in Redis, and the store closes the connection."""


def kept(window: Window) -> int:
    """Seconds after its last rejection that Redis keeps a window: late ones may still come."""
    return ceil(window.findtime + min(window.findtime, LATE)) + 1
