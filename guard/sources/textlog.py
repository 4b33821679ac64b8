"""Text logs of any program, by a filter of fail2ban's kind; or log records in a plain file.

Follows a path, or all that a pattern such as `/var/log/*/mail.log` finds, through rotation,
truncation and removal (tail.py). Trusts the log to be written by its program only.
"""

from __future__ import annotations

import glob
import os
from collections.abc import AsyncIterator, Callable
from functools import partial
from hashlib import blake2b
from pathlib import Path

from guard.events import Event
from guard.lib.clock import Clock, now
from guard.sources.checkpoint import Checkpoint
from guard.sources.following import Followed, Following
from guard.sources.logfile import Place
from guard.sources.tail import GRACE, Hear, Tail
from guard.sources.waker import Waker

POLL = 1.0


class TextLog(Followed[list[Place]]):
    """The log `path`, which may be a pattern; `hear` makes a hearer for each file it finds."""

    def __init__(
        self,
        path: Path,
        checkpoints: Path,
        hear: Callable[[], Hear],
        *,
        name: str = "",
        olddir: Path | None = None,
        poll: float = POLL,
        grace: float = GRACE,
        clock: Clock = now,
    ) -> None:
        self.name = name or f"log {path}"
        self._path, self._hear, self._clock = path.absolute(), hear, clock
        self._olddir, self._poll, self._grace = olddir, poll, grace
        digest = blake2b(os.fsencode(path.absolute()), digest_size=8).hexdigest()
        super().__init__(Checkpoint(checkpoints / f"log-{digest}.json", list[Place]))

    async def batches(self) -> AsyncIterator[list[Event]]:
        """New events; the place moves when the next batch is asked for."""
        new = partial(Tail, olddir=self._olddir, grace=self._grace)
        tails = _Tails(self._path, self._checkpoint.load(), self._hear, new)
        self._following = Following(tails, self._checkpoint, self._clock)
        waker = Waker()

        async def wait() -> None:
            waker.watch(tails.folders())
            await waker.wait(self._poll)

        try:
            async for batch in self._following.batches(wait):
                yield batch
        finally:
            waker.close()


class _Tails:
    """A tail for each path that the pattern has ever found."""

    def __init__(
        self,
        pattern: Path,
        places: dict[str, list[Place]],
        hear: Callable[[], Hear],
        new: Callable[[Path, Hear, list[Place]], Tail],
    ) -> None:
        self._pattern, self._places, self._hear, self._new = pattern, places, hear, new
        self._tails: dict[str, Tail] = {}

    def look(self, now: float) -> list[Tail]:
        """The role's of Streams."""
        text = str(self._pattern)
        found = glob.glob(text) if glob.has_magic(text) else [text]  # noqa: PTH207
        for path in sorted(found):
            if path not in self._tails and path.isprintable():
                places = self._places.get(path, [])
                self._tails[path] = self._new(Path(path), self._hear(), places)
        return list(self._tails.values())

    def places(self) -> dict[str, list[Place]]:
        """The role's of Streams."""
        return {**self._places, **{path: tail.places for path, tail in self._tails.items()}}

    def folders(self) -> set[Path]:
        """Where changes are worth a look."""
        return {path.resolve().parent for path in (self._pattern, *map(Path, self._tails))}
