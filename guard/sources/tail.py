"""One path of a growing log, and what rotation makes of it: every line once, in order.

A file that was renamed away is read to its end, and for a while longer, because its writer may not
know yet. One that was truncated begins anew; what its copy (logrotate's copytruncate) holds beyond
our place is read from the copy. After a downtime the rotated files since our place come first,
packed ones too. The path need not exist yet, or still.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from guard.events import Event
from guard.roles import Unavailable
from guard.sources.logfile import LogFile, Place, find, rotated
from guard.sources.tally import Tally

log = logging.getLogger("guard.sources")

FIRST = 64 << 20  # of a log that was never read before, its last 64 MiB
GRACE = 15.0


class Hear(Protocol):
    """What makes events of lines: guard/sources/recordlines.py and textlines.py."""

    def __call__(
        self, runs: Sequence[bytes | None], tally: Tally, name: str, *, ids: bool = False
    ) -> list[Event]: ...


class Tail:
    """The log `path`, from `places` on. One thread at a time.

    `olddir` is where else rotated files are, as logrotate's option of that name says.
    """

    def __init__(
        self,
        path: Path,
        hear: Hear,
        places: Sequence[Place] = (),
        *,
        olddir: Path | None = None,
        first: int = FIRST,
        grace: float = GRACE,
    ) -> None:
        self.path, self._olddir = path, olddir
        self.time = 0.0  # of the newest event
        self._hear, self._first, self._grace = hear, first, grace
        self._saved = list(places)
        self._turn = max((place.turn for place in places), default=0)
        self._files: list[LogFile] = []  # the last is the one that the path names, if any does
        self._begun = False
        self._new = False  # where it begins is saved nowhere yet
        self._told: set[str] = set()
        self._faults_before = 0  # of files that are read

    @property
    def places(self) -> list[Place]:
        """Where each file that is still read stands."""
        return [file.place for file in self._files] if self._begun else self._saved

    @property
    def faults(self) -> int:
        """How many lines could not be read."""
        return self._faults_before + sum(file.tally.faulty for file in self._files)

    @property
    def behind(self) -> int:
        """How many bytes there are to read, as they lie on disk."""
        return sum(max(0, file.status.st_size - file.taken) for file in self._files)

    def read(self, now: float) -> list[Event] | None:
        """The next events, maybe none; None when there is no more at present.

        Raises Unavailable when what the path names cannot be read.
        """
        try:
            inode = self.path.stat().st_ino
        except (FileNotFoundError, NotADirectoryError):  # not yet, or not any more
            self._retire(now)
        except OSError as error:
            raise Unavailable(f"{self.path}: {error.strerror}") from None
        else:
            self._look(inode, now)
        if self._new:
            # The place is saved before anything is heard: after an end of this process the file
            # may have another name.
            self._new = False
            return None
        for file in list(self._files):
            runs = file.read()
            if runs is not None:
                return self._events(file, runs)
            if file.retires is not None and now >= file.retires:
                self._files.remove(file)
                last = self._events(file, file.rest())
                self._faults_before += file.tally.faulty
                self._remember(file)
                return last
        return None

    def close(self) -> None:
        """Lets go of all files."""
        self._saved, self._begun = self.places, False
        for file in self._files:
            file.close()
        self._files.clear()

    def _events(self, file: LogFile, runs: list[bytes | None]) -> list[Event]:
        events = self._hear(runs, file.tally, f"{self.path}#{file.turn}", ids=True)
        if events:
            self.time = max(self.time, events[-1].time)
        for sort in file.tally.faults.keys() - self._told:
            self._told.add(sort)
            log.warning("%s: %s", file.tally.faults[sort].first, sort)
        return events

    def _remember(self, file: LogFile) -> None:
        """Keeps the place of the last file where there is no other, for when the path is back."""
        if not self._files:
            self._saved, self._begun = [file.place], False
        file.close()

    def _look(self, inode: int, now: float) -> None:
        """Compares what the path names with what is open."""
        current = self._files[-1] if self._begun else None
        if current is not None and current.status.st_ino == inode and not current.begins_anew:
            current.retires = None
            return
        try:
            before = self._named()
            if current is None:
                files = self._begin(before)
            elif current.status.st_ino != inode:
                files = self._files + self._replaced(current, before)
            else:
                files = self._truncated(current, before)
            if self._named() != before:
                # Rotated this very moment: what was opened by name may be another file.
                self._keep(self._files, files)
                return
        except FileNotFoundError:
            return
        except OSError as error:
            raise Unavailable(f"{self.path}: {error.strerror}") from None
        self._faults_before += sum(f.tally.faulty for f in self._files if f not in files)
        self._keep(files, self._files)
        self._files, self._begun = files, True
        self._turn = max(file.turn for file in files)
        for file in files[:-1]:
            if file.retires is None:
                file.retires = now + self._grace

    def _named(self) -> list[tuple[Path, int]]:
        """The path and its older files, oldest first, each with its inode."""
        real = self.path.resolve()
        paths = rotated(self.path, self._olddir)
        if real != self.path:
            paths += [path for path in rotated(real, self._olddir) if path not in (real, *paths)]
        return [(path, path.stat().st_ino) for path in (*paths, self.path)]

    def _keep(self, wanted: Sequence[LogFile], others: Sequence[LogFile]) -> None:
        for file in others:
            if file not in wanted:
                file.close()

    def _begin(self, named: Sequence[tuple[Path, int]]) -> list[LogFile]:
        """What is to be read after a start, or when the path is back."""
        paths = [path for path, _ in named]
        with ExitStack() as opened:
            files: list[LogFile] = []
            newest = -1
            for place in self._saved:
                path = find(place, paths)
                if path is not None:
                    files.append(LogFile(path, place.turn, place.offset, place.line))
                    opened.callback(files[-1].close)
                    newest = max(newest, paths.index(path))
            if files:
                # The next turns are those that they had before a crash.
                self._turn = max(file.turn for file in files)
                files += self._open(paths[newest + 1 :])
            elif self._saved:
                files += self._open(self._since(paths))
            else:
                files += self._open(paths[-1:], self._first_offset())
                self._new = True
            opened.pop_all()
        return files

    def _since(self, paths: Sequence[Path]) -> list[Path]:
        """What was written since, where nothing that was read is there any more."""
        last = max(self._saved, key=lambda place: place.turn)
        self._turn = last.turn if last.known_by else last.turn - 1
        if last.known_by:
            log.warning("%s: what was read last is gone; reading what came after it", self.path)
        return _written_since(last, paths)

    def _replaced(self, current: LogFile, named: Sequence[tuple[Path, int]]) -> list[LogFile]:
        """Another file has the name; between the two may be more, of rotations just before."""
        inode, paths = current.status.st_ino, [path for path, _ in named]
        inodes = [number for _, number in named]
        if inode in inodes:
            return self._open(paths[inodes.index(inode) + 1 :])
        # Packed already, and so another file.
        packed = find(current.place, paths)
        if packed is not None:
            return self._open(paths[paths.index(packed) + 1 :])
        return self._open(_written_since(current.place, paths))

    def _truncated(self, old: LogFile, named: Sequence[tuple[Path, int]]) -> list[LogFile]:
        """Reads what a copy holds beyond our place, then the path from its beginning."""
        copy = find(old.place, [path for path, _ in named[:-1]])
        files = [file for file in self._files if file is not old]
        if copy is not None:
            files.append(LogFile(copy, old.turn, old.offset, old.tally.lines))
            files[-1].retires = float("-inf")
        return files + self._open([self.path])

    def _open(self, paths: Sequence[Path], offset: int = 0) -> list[LogFile]:
        """Files that were never read, each a turn of its own: all of them, or none."""
        files: list[LogFile] = []
        with ExitStack() as opened:
            for turn, path in enumerate(paths, self._turn + 1):
                files.append(LogFile(path, turn, offset))
                opened.callback(files[-1].close)
            opened.pop_all()
        return files

    def _retire(self, now: float) -> None:
        for file in self._files:
            if file.retires is None:
                file.retires = now + self._grace

    def _first_offset(self) -> int:
        """Where a log that was never read is begun: at a line."""
        size = self.path.stat().st_size
        if size <= self._first:
            return 0
        with self.path.open("rb") as file:
            file.seek(size - self._first - 1)
            file.readline()
            return file.tell()


def _written_since(place: Place, paths: Sequence[Path]) -> list[Path]:
    """What was written to after the file of `place`, which cannot be found; the path itself too.

    And that file, when nothing of it was read.
    """
    since = place.written + (1 if place.known_by else 0)
    later = [path for path in paths[:-1] if path.stat().st_mtime_ns >= since]
    return [*later, paths[-1]]
