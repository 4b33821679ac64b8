"""Lines that arrive on their own until somebody hears them: bounded, drops counted."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence

from guard.events import Event
from guard.lib.clock import Clock

log = logging.getLogger("guard.sources")

BATCH = 2000
BOUND = 100_000

Hear = Callable[[Sequence[bytes]], list[Event]]


class Gather:
    """Used by one event loop; `hear` runs in a thread, one call at a time."""

    def __init__(self, name: str, hear: Hear, clock: Clock, bound: int = BOUND) -> None:
        self.dropped = 0
        self._name, self._hear, self._clock, self._bound = name, hear, clock, bound
        self._waiting: deque[bytes] = deque()
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._finished = False
        self._said = 0.0

    async def room(self) -> None:
        """Returns when there is room for more."""
        await self._room.wait()

    def put(self, line: bytes) -> None:
        """Takes a line, or counts it as dropped and says so once a minute."""
        if len(self._waiting) < self._bound:
            self._waiting.append(line)
            self._news.set()
            if len(self._waiting) == self._bound:
                self._room.clear()
            return
        self.dropped += 1
        if self._clock() > self._said + 60:
            self._said = self._clock()
            log.warning("%s: %d lines dropped so far", self._name, self.dropped)

    def finish(self) -> None:
        """Lets `batches` end once it has yielded what is left."""
        self._finished = True
        self._news.set()

    async def batches(self) -> AsyncIterator[list[Event]]:
        """The events of what has gathered."""
        while self._waiting or not self._finished:
            await self._news.wait()
            lines = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            self._room.set()
            if not self._waiting and not self._finished:
                self._news.clear()
            events = await asyncio.to_thread(self._hear, lines) if lines else []
            if events:
                yield events
