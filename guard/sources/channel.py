"""From our own listener to whoever counts, in one process: a Sink that is also a Source.

Trusts its records, which our own code made. Bounded: where many wait, equal ones wait as one; while
nobody counts (the store is gone) the newest are dropped and counted, never the listener held up.
Used by one event loop; not durable, so that what a crash loses is what had not been counted yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from guard.events import Event
from guard.filters.gathered import gathered
from guard.filters.hear import event_of
from guard.records import Record, heard

BATCH = 5000


class Channel:
    """Holds at most `bound` records. `dropped` counts those that found no room."""

    def __init__(self, name: str = "listener", bound: int = 100_000) -> None:
        self.name = name
        self.dropped = 0
        self._bound = bound
        self._full = min(BATCH, bound)
        self._waiting: list[Record] = []
        self._news = asyncio.Event()
        self._finished = False

    def put(self, record: Record) -> None:
        """Takes `record`, or counts it as dropped."""
        if len(self._waiting) >= self._full:
            self._waiting = gathered(self._waiting)
            # So much later again that the looking through costs next to nothing.
            self._full = min(max(BATCH, 2 * len(self._waiting)), self._bound)
            if len(self._waiting) >= self._bound:
                self.dropped += 1
                return
        self._waiting.append(record)
        self._news.set()

    @property
    def waiting(self) -> int:
        """How many records nobody has taken yet."""
        return len(self._waiting)

    def tell(self) -> dict[str, int]:
        """What waits, and what was lost."""
        return {"waiting": len(self._waiting), "dropped": self.dropped}

    def finish(self) -> None:
        """Lets `batches` end once it has yielded what is left."""
        self._finished = True
        self._news.set()

    async def batches(self) -> AsyncIterator[list[Event]]:
        """What has gathered since the last batch, oldest first."""
        while self._waiting or not self._finished:
            await self._news.wait()
            records, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            if not self._waiting and not self._finished:
                self._news.clear()
            some = gathered(records)
            events = [event for record in some if (event := event_of(heard(record)))]
            if events:
                yield events
