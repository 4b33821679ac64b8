"""Segments of one KumoMTA log stream, read one after another, the last one as it grows.

KumoMTA ends a segment by making its file read-only (docs.kumomta.com, configure_local_logs); until
then a zstd frame without an end, or half a line, is what has been flushed so far. A segment that
stays writable, as after a copy, counts as ended when a later one is there and it has not grown for
a minute. Reads only.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from guard.events import Event
from guard.roles import Unavailable
from guard.sources.history import last_words
from guard.sources.lines import skip
from guard.sources.recordlines import hear
from guard.sources.segment import Segment
from guard.sources.tally import Tally

log = logging.getLogger("guard.sources")
SETTLED = 60.0


class Place(msgspec.Struct, frozen=True):
    """Everything up to `line` lines of the segment `file`, and all segments before it."""

    file: str
    line: int


class Lane:
    """The stream of the segments that `look` is told of. `place` is how far it was read.

    `label` is the folder below `root`, empty or with a slash at its end.

    Without a place it begins with the first segment that was written to since `after`.
    """

    def __init__(
        self, root: Path, label: str, place: Place | None, *, after: float | None = None
    ) -> None:
        self.place = place
        self._after = after
        self.time = 0.0  # of the newest event, so that lanes are caught up in order
        self._folder, self._label, self._name = root / label, label, ""
        self._names: list[str] = []
        self._done = False
        self._closed = False
        self._file: BinaryIO | None = None
        self._segment: Segment | None = None
        self._tally = Tally()
        self._faults: set[str] = set()
        self._faults_before = 0
        self._skip = 0

    def look(self, names: list[str]) -> None:
        """Takes the names of all segments that there are, in order."""
        if self._after is not None:
            names = [name for name in names if self._written(name) >= self._after]
        self._names = names

    def read(self, now: float) -> list[Event] | None:
        """The next events, maybe none; None when there is no more at present."""
        if self._segment is None and not self._open():
            return None
        segment = self._segment
        assert segment is not None
        runs = segment.read()
        if runs is not None:
            self._closed = False
            return self._take(runs)
        if segment.damaged or self._closed:
            last = self._told(last_words(segment, _numbered, self._tally))
            self.close()
            self._done = True
            return last
        # What was written before the mode changed is read once more before the end is believed.
        self._closed = self._ended(now)
        return [] if self._closed else None

    def close(self) -> None:
        """Lets go of the open file."""
        if self._file is not None:
            self._file.close()
        self._file = self._segment = None

    @property
    def faults(self) -> int:
        """How many lines or segments could not be read."""
        return self._faults_before + self._tally.faulty

    @property
    def behind(self) -> int:
        """How many bytes of segments, packed as they are, have not been read."""
        total = 0
        for name in self._later():
            try:
                total += (self._folder / name).stat().st_size
            except OSError:
                continue
        return total - (self._segment.at if self._segment else 0)

    def _later(self) -> list[str]:
        """The segments that are not done, the open one included."""
        if self.place is None:
            return self._names
        file, done = self.place.file, self._done
        return [name for name in self._names if name > file or (name == file and not done)]

    def _written(self, name: str) -> float:
        try:
            return (self._folder / name).stat().st_mtime
        except OSError:
            return 0.0

    def _open(self) -> bool:
        later = self._later()
        if not later:
            return False
        name = later[0]
        path = self._folder / name
        try:
            self._file = path.open("rb")
        except FileNotFoundError:
            self._names.remove(name)
            return self._open()
        except OSError as error:
            raise Unavailable(f"{path}: {error.strerror}") from None
        self._name = f"{self._label}{name}"
        self._segment = Segment(self._file, self._name)
        same = self.place is not None and self.place.file == name
        self._skip = self.place.line if same and self.place else 0
        self._faults_before = self.faults
        self._tally = Tally(lines=self._skip)
        self._faults.clear()
        self._closed = self._done = False
        self._after = None
        self.place = Place(name, self._skip)
        return True

    def _take(self, runs: list[bytes | None]) -> list[Event]:
        """The events of `runs`, without the lines that were read before a restart."""
        if self._skip:
            runs, self._skip = skip(runs, self._skip)
        return self._told(hear(runs, self._tally, self._name, ids=True))

    def _told(self, events: list[Event]) -> list[Event]:
        """Moves the place, and tells the operator of each new sort of fault."""
        assert self.place is not None
        self.place = Place(self.place.file, self._tally.lines)
        if events:
            self.time = max(self.time, events[-1].time)
        for sort in self._tally.faults.keys() - self._faults:
            self._faults.add(sort)
            log.warning("%s: %s", self._tally.faults[sort].first, sort)
        return events

    def _ended(self, now: float) -> bool:
        """Whether nobody writes to the open segment any more."""
        assert self._file is not None
        status = os.fstat(self._file.fileno())
        if not status.st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):
            return True
        return len(self._later()) > 1 and status.st_mtime < now - SETTLED


def _numbered(runs: Sequence[bytes | None], tally: Tally, name: str) -> list[Event]:
    return hear(runs, tally, name, ids=True)
