"""Logs of the past, whole files and directories, as events in order of time.

A directory is KumoMTA's: segments in order of their names, sub-directories beside one another,
hidden files left out. Any other files are put in order by their first event, whatever their names,
and streams that overlap are merged. Opens files for reading and touches nothing else.
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from guard.events import Event
from guard.roles import BadInput
from guard.sources.segment import Segment
from guard.sources.tally import CUT_SHORT, DAMAGED, NO_RECORD, Tally

STDIN = Path("-")
# docs.kumomta.com, configure_local_logs: segments are named for the UTC time of their beginning.
_SEGMENT = re.compile(r"\d{8}-\d{6}", re.ASCII)

Hear = Callable[[Sequence[bytes | None], Tally, str], list[Event]]
Advance = Callable[[int], object]


class Reader:
    """Reads `paths`; `hear` says what lines mean, `advance` is told of each byte taken.

    When all has been read, `tally` has what was met, and `foreign` the files that were given by
    name and held not one record.
    """

    def __init__(self, paths: Iterable[Path], hear: Hear, advance: Advance = int) -> None:
        self.tally = Tally()
        self.foreign: list[str] = []
        self._hear, self._advance = hear, advance
        self._named = frozenset(paths)
        self._lanes = _lanes(sorted(self._named))

    def batches(self) -> Iterator[list[Event]]:
        """Every event in order of time. Raises BadInput, before the first, if one is unreadable."""
        waiting = [(self._start(lane), self._read(lane)) for lane in self._lanes]
        return _merge(sorted(waiting, key=lambda pair: pair[0], reverse=True))

    def _start(self, lane: Sequence[Path]) -> float:
        """The time of the first event in the first block; that of no event is before all others."""
        if lane[0] == STDIN:
            return float("-inf")
        with _open(lane[0]) as file:
            segment, nothing = Segment(file, ""), Tally()
            while (runs := segment.read()) is not None:
                if events := self._hear(runs[:1], nothing, ""):
                    return events[0].time
                if runs:
                    break
        return float("-inf")

    def _read(self, lane: Sequence[Path]) -> Iterator[list[Event]]:
        for path in lane:
            tally = Tally()
            with _open(path) as file:
                yield from self._file(Segment(file, str(path)), tally)
            if path in self._named and tally.faults and not tally.records and not tally.heard:
                self.foreign.append(str(path))
            self.tally.add(tally)

    def _file(self, segment: Segment, tally: Tally) -> Iterator[list[Event]]:
        at = 0
        while (runs := segment.read()) is not None:
            if events := self._hear(runs, tally, segment.name):
                tally.heard += len(events)
                yield events
            self._advance(segment.at - at)
            at = segment.at
        if events := last_words(segment, self._hear, tally):
            yield events


def last_words(segment: Segment, hear: Hear, tally: Tally) -> list[Event]:
    """What a last line without an end says. One that says nothing was cut short."""
    if segment.damaged:
        tally.fault(DAMAGED, segment.name, tally.lines + 1)
        return []
    apart = Tally(lines=tally.lines)
    events = hear(segment.end(), apart, segment.name)
    if NO_RECORD in apart.faults:
        tally.fault(CUT_SHORT, segment.name, apart.lines)
        return []
    apart.lines -= tally.lines
    tally.add(apart)
    return events


def _open(path: Path) -> BinaryIO:
    try:
        return sys.stdin.buffer if path == STDIN else path.open("rb")
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None


def _lanes(paths: Iterable[Path]) -> list[list[Path]]:
    """Files that follow one another by name, which need not be open at the same time."""
    lanes: dict[object, list[Path]] = {}
    for path in paths:
        if path.is_dir():
            for child in sorted(path.rglob("*")):
                hidden = any(part.startswith(".") for part in child.relative_to(path).parts)
                if child.is_file() and not hidden:
                    lanes.setdefault(child.parent, []).append(child)
        elif _SEGMENT.match(path.name):
            lanes.setdefault(path.parent, []).append(path)
        else:
            lanes[path] = [path]
    return list(lanes.values())


def size_of(paths: Iterable[Path]) -> int:
    """How many bytes there are in files and directories; what is no file has none."""
    return sum(path.stat().st_size for lane in _lanes(paths) for path in lane if path.is_file())


def _merge(waiting: list[tuple[float, Iterator[list[Event]]]]) -> Iterator[list[Event]]:
    """Batches of all streams in order of time; `waiting` has the earliest last, and is opened
    when its time has come."""
    running: list[tuple[list[Event], Iterator[list[Event]]]] = []
    while waiting or running:
        running.sort(key=_head)
        if waiting and (not running or waiting[-1][0] <= _head(running[0])):
            stream = waiting.pop()[1]
        else:
            batch, stream = running.pop(0)
            until = min(
                _head(running[0]) if running else float("inf"),
                waiting[-1][0] if waiting else float("inf"),
            )
            cut = max(1, bisect_right(batch, until, key=_time))
            yield batch[:cut]
            if cut < len(batch):
                running.append((batch[cut:], stream))
                continue
        batch = next(stream, [])
        if batch:
            running.append((batch, stream))


def _time(event: Event) -> float:
    return event.time


def _head(running: tuple[list[Event], object]) -> float:
    return running[0][0].time
