"""Who is to be asked about, the worst offender first; bounded, and safe in any thread."""

from __future__ import annotations

import threading
from typing import NamedTuple

from guard.lib.networks import Network

MOST = 1000


class Waiter(NamedTuple):
    """A network as it is counted, what it did while it waited, and the address to ask about."""

    network: Network
    rejections: int
    address: Network


class Waiting:
    """Networks with the rejections that they made while they waited.

    When there is no room the half that did least is forgotten: its next rejection brings it back.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._held: dict[Network, Waiter] = {}

    def __len__(self) -> int:
        return len(self._held)

    def add(self, waiter: Waiter) -> bool:
        """Adds a network, or rejections to one that waits; whether it is new here."""
        with self._lock:
            before = self._held.get(waiter.network)
            if before is None and len(self._held) >= self._most:
                left = sorted(self._held.values(), key=_rejections)[-(self._most // 2) :]
                self._held = {kept.network: kept for kept in left}
            more = before.rejections if before is not None else 0
            self._held[waiter.network] = waiter._replace(rejections=waiter.rejections + more)
            return before is None

    def worst(self) -> Waiter | None:
        """Takes out who did most, the longest there of those who did equally much."""
        with self._lock:
            found = max(self._held.values(), key=_rejections, default=None)
            return None if found is None else self._held.pop(found.network)


def _rejections(waiter: Waiter) -> int:
    return waiter.rejections
