"""Several growing streams as one source: read in a thread, in order of time, places kept.

What is a stream, and how a place looks, is its own affair: lane.py and tail.py. A place is saved
when the next batch is asked for, because then the last one has been counted; before that it can be
had as a mark, to be kept with the counts.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Generic, Protocol, TypeVar

from guard.events import Event
from guard.lib.clock import Clock
from guard.sources.checkpoint import Checkpoint

BATCH = 2000
LATER = 1.0  # seconds that the file of places may be behind a mark
BLOCKS = 32  # read in one go where hardly a line says anything: some megabytes

P = TypeVar("P")
P_co = TypeVar("P_co", covariant=True)


class Stream(Protocol):
    """Something that grows. `time` is that of its newest event."""

    time: float

    def read(self, now: float) -> list[Event] | None:
        """The next events, maybe none; None when there is no more at present."""
        ...

    def close(self) -> None:
        """Lets go of files."""
        ...

    @property
    def behind(self) -> int:
        """How many bytes there are to read."""
        ...

    @property
    def faults(self) -> int:
        """How often anything could not be read."""
        ...


class Streams(Protocol[P_co]):
    """The streams that there are at present, and their places."""

    def look(self, now: float) -> Iterable[Stream]:
        """All streams, new ones found."""
        ...

    def places(self) -> Mapping[str, P_co]:
        """How far each was read; those not seen at present included."""
        ...


class Following(Generic[P]):
    """Reads `streams`. One call at a time; `close` waits for the one under way."""

    def __init__(self, streams: Streams[P], checkpoint: Checkpoint[P], clock: Clock) -> None:
        self._streams, self._checkpoint, self._clock = streams, checkpoint, clock
        self.behind = self.faults = 0  # bytes not read yet, and faults, about once a second
        self._looked = self._saved = 0.0
        self._marked = False
        self._known: list[Stream] = []
        self._finished = False
        self._lock = threading.Lock()
        self._closed = False

    def read(self) -> list[Event]:
        """The next events of all streams, those that are furthest behind first."""
        with self._lock:
            if self._closed:
                return []
            now = self._clock()
            self._known = list(self._streams.look(now))
            events: list[Event] = []
            growing: list[Stream] = []
            blocks = 0
            # One that says nothing has no time of its own; it must not hold up the others.
            turns = iter(sorted(self._known, key=_time))
            while len(events) < BATCH and blocks < BLOCKS:
                stream = next(turns, None) or min(growing, key=_time, default=None)
                if stream is None:
                    break
                more = stream.read(now)
                if stream in growing:
                    growing.remove(stream)
                if more is not None:
                    growing.append(stream)
                    events += more
                    blocks += 1
            if not growing or not self._looked <= now < self._looked + 1:
                self._looked, self.behind = now, sum(stream.behind for stream in self._known)
                self.faults = sum(stream.faults for stream in self._known)
            return events

    def commit(self) -> bool:
        """Saves the place of everything read so far; False when it has not moved.

        What was given away as a mark is in the file within a second: a disk that is busy would
        hold up the next batch, and whoever is to be banned by it.
        """
        with self._lock:
            now = self._clock()
            later = self._marked and self._saved <= now < self._saved + LATER
            if not later:
                self._saved = now
            self._marked = False
            return self._checkpoint.save(dict(self._streams.places()), later=later)

    def mark(self) -> bytes:
        """The place after everything read so far, for whoever counts it."""
        with self._lock:
            self._marked = True
            return self._checkpoint.mark(dict(self._streams.places()))

    def close(self) -> None:
        """Lets go of all files."""
        with self._lock:
            self._closed = True
            self._checkpoint.flush()
            for stream in self._known:
                stream.close()

    def finish(self) -> None:
        """Lets `batches` end when the place of what was counted is saved."""
        self._finished = True

    async def batches(self, wait: Callable[[], Awaitable[object]]) -> AsyncIterator[list[Event]]:
        """Batches as they come; `wait` returns when it is worth looking again."""
        try:
            while not self._finished:
                events = await asyncio.to_thread(self.read)
                if events:
                    yield events
                moved = await asyncio.to_thread(self.commit)
                if not events and not moved and not self._finished:
                    await wait()
        finally:
            self.close()


class Followed(Generic[P]):
    """What every source has that reads by a `Following`: the roles Marking, Finishing, Telling.

    Its `batches` makes the Following, anew at each start.
    """

    def __init__(self, checkpoint: Checkpoint[P]) -> None:
        self._checkpoint = checkpoint
        self._following: Following[P] | None = None

    @property
    def key(self) -> str:
        """The role's."""
        return self._checkpoint.key

    def resume(self, place: bytes | None) -> None:
        """The role's."""
        self._checkpoint.resume(place)

    def mark(self) -> bytes:
        """The role's."""
        assert self._following is not None
        return self._following.mark()

    @property
    def behind(self) -> int:
        """How many bytes of log, packed as they are, have not been read."""
        return self._following.behind if self._following else 0

    def tell(self) -> dict[str, int]:
        """How far it is behind, and what it could not read."""
        return {"behind": self.behind, "faults": self._following.faults if self._following else 0}

    def finish(self) -> None:
        """Lets `batches` end with its place saved, so that nothing is heard twice."""
        if self._following is not None:
            self._following.finish()


def _time(stream: Stream) -> float:
    return stream.time
