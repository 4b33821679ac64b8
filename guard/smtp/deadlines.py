"""Many deadlines for one timer: whoever waits is looked at in the tenth of a second it asked for.

Nearly every session ends long before its time is up: a timer of the event loop for each would be
made and cancelled for nothing, at several times the cost. Never early, at most a tick late. Lives
on the event loop.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

_TICK = 0.1


class Waiter(Protocol):
    """`look` is called once for each `add`; `slot` belongs to `Deadlines`."""

    slot: int

    def look(self) -> None:
        """The time has come."""


class Deadlines:
    """Those who wait, by the tick in which they are looked at."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slots: dict[int, set[Waiter]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0

    def add(self, waiter: Waiter, at: float) -> None:
        """Looks at `waiter`, which waits for nothing else, at `at` by the loop's clock."""
        slot = waiter.slot = int(at / _TICK) + 1
        waiters = self._slots.get(slot)
        if waiters is None:
            waiters = self._slots[slot] = set()
            if self._timer is None or slot < self._next:
                self._watch(slot)
        waiters.add(waiter)

    def drop(self, waiter: Waiter) -> None:
        """`waiter` waits no longer; it may never have."""
        waiters = self._slots.get(waiter.slot)
        if waiters:
            waiters.discard(waiter)

    def close(self) -> None:
        """Looks at nobody any more."""
        self._slots.clear()
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _watch(self, slot: int) -> None:
        if self._timer:
            self._timer.cancel()
        self._next = slot
        self._timer = self._loop.call_at(slot * _TICK, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self._loop.time()
        for slot in [slot for slot in self._slots if slot * _TICK <= now]:
            for waiter in self._slots.pop(slot):
                waiter.look()
        for slot in [slot for slot, waiters in self._slots.items() if not waiters]:
            del self._slots[slot]
        if self._slots:
            self._watch(min(self._slots))
