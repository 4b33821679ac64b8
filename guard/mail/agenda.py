"""Which message is tried when: all ids of the spool, in memory. Pure.

An id is waiting for its time, open (being read or delivered), or parked (its destination has no
room). What is not known yet of a message, its state on disk tells when its time comes.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from guard.mail.spool import age

_GRAIN = 1.0  # seconds for which a folder's time stamp may stay the same though it changed


class Agenda:
    """See the module."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._open: set[str] = set()
        self._parked: set[str] = set()
        self._heap: list[tuple[float, str]] = []
        self._stamp = -1

    def __len__(self) -> int:
        return len(self._due) + len(self._open) + len(self._parked)

    @property
    def open(self) -> int:
        """How many are being read or delivered."""
        return len(self._open)

    def is_open(self, id_: str) -> bool:
        """Whether it is being read or delivered."""
        return id_ in self._open

    def oldest(self, now: float) -> float:
        """The age of the oldest, in seconds; 0 when there is none. An id begins with its time."""
        ids = (min(group, default="") for group in (self._due, self._open, self._parked))
        first = min((id_ for id_ in ids if id_), default="")
        return age(first, now)

    def seen(self, stamp: int) -> bool:
        """Whether the folder with this time stamp (ns) holds nothing that `update` was not told."""
        return stamp == self._stamp

    def update(self, ids: Iterable[str], stamp: int, now: float) -> None:
        """`ids` is all there is, read after the folder had `stamp`."""
        there = set(ids)
        for id_ in there - self._due.keys() - self._open - self._parked:
            self.schedule(id_, 0.0)
        for id_ in self._due.keys() - there:
            del self._due[id_]
        # A file that came in the same tick of the file system's clock left the stamp as it is.
        self._stamp = stamp if now - stamp / 1e9 > _GRAIN else -1

    def schedule(self, id_: str, due: float) -> None:
        """It is to be tried at `due`; infinity is never."""
        self._open.discard(id_)
        self._parked.discard(id_)
        self._due[id_] = due
        if due != float("inf"):
            heapq.heappush(self._heap, (due, id_))

    def park(self, id_: str) -> None:
        """Its destination has no room."""
        self._open.discard(id_)
        self._parked.add(id_)

    def forget(self, id_: str) -> None:
        """It is gone."""
        self._open.discard(id_)
        self._parked.discard(id_)
        self._due.pop(id_, None)

    def pop(self, now: float) -> str | None:
        """The next that is due, open from now on; None when there is none."""
        while self._heap and self._heap[0][0] <= now:
            due, id_ = heapq.heappop(self._heap)
            if self._due.get(id_) == due:
                del self._due[id_]
                self._open.add(id_)
                return id_
        return None
