"""What listeners beside a daemon say of themselves, for the status of the daemon of their host.

A hash in Redis, `guard:listeners`: a field for each process and listener, `HOST PROCESS LISTEN`,
its value `{"time":1757675281.4,"counts":{"connections":7,...}}`. Nobody decides anything by it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import msgspec

from guard.stores.redis_link import RedisLink

log = logging.getLogger("guard.stores")

KEY = "guard:listeners"
EVERY = 5.0  # seconds between two words of a process
FRESH, KEPT = 30.0, 86400.0  # seconds until it is passed over, and until its field is removed
_encode = msgspec.json.Encoder().encode


class Said(msgspec.Struct, frozen=True):
    """What one process says of one listener."""

    time: float
    counts: dict[str, int]


_decode = msgspec.json.Decoder(Said).decode


class Presence:
    """Of the listeners on `host`, which has no blank in it."""

    def __init__(self, link: RedisLink, host: str) -> None:
        self._link, self._host = link, host

    def tell(self, process: int, rows: Mapping[str, Mapping[str, int]], now: float) -> None:
        """Says what `process` counts, by listener. Raises Unavailable."""
        fields = {
            f"{self._host} {process} {name}": _encode(Said(now, dict(counts)))
            for name, counts in rows.items()
        }
        if fields:
            with self._link.errors():
                self._link.client.hset(KEY, mapping=fields)

    def told(self, now: float) -> list[dict[str, str | int]]:
        """A row for each listener of this host that lives, its processes summed.

        Raises Unavailable.
        """
        with self._link.errors():
            held = self._link.client.hgetall(KEY)
        found: dict[str, dict[str, int]] = {}
        old: list[bytes] = []
        for field, value in sorted(held.items()):
            host, _, rest = field.decode("ascii", "backslashreplace").partition(" ")
            name = rest.partition(" ")[2]
            try:
                said = _decode(value)
            except msgspec.MsgspecError:
                old.append(field)
                continue
            if said.time < now - KEPT:
                old.append(field)
            elif host == self._host and name and said.time > now - FRESH:
                row = found.setdefault(name, {})
                for each, count in said.counts.items():
                    row[each] = row.get(each, 0) + count
        self._forget(old)
        return [{"name": name, **row} for name, row in found.items()]

    def _forget(self, fields: Sequence[bytes]) -> None:
        if fields:
            with self._link.errors():
                self._link.client.hdel(KEY, *fields)
