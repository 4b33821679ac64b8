"""KumoMTA's log directory, followed live: every rejection once, whatever is restarted.

Trusts names and modes of the files, as KumoMTA's own tailer does (crates/kumo-jsonl): segments
follow one another by name, sub-directories and suffixes (one per type of record) run beside one
another. Looks for news by polling, which works on network file systems as well. Reads only; its
place is in a checkpoint of its own, saved when what was read has been counted.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections.abc import AsyncIterator
from hashlib import blake2b
from pathlib import Path

from guard.events import Event
from guard.lib.clock import Clock, now
from guard.roles import Unavailable
from guard.sources.checkpoint import Checkpoint
from guard.sources.lane import Lane, Place

POLL = 0.2
BATCH = 2000
RESCAN = 25  # polls, after which a directory is listed although it looks unchanged
LOOK_BACK = 86400.0

# `{UTC YYYYMMDD-HHMMSS[.fraction]}{suffix}`; the accounting log has a prefix as well.
_SEGMENT = re.compile(r"(.*?)\d{8}-\d{6}(?:\.\d+)?(.*)", re.ASCII | re.DOTALL)

Key = tuple[str, str, str]  # folder, prefix and suffix of the segments of one stream


class KumomtaLog:
    """The log directory `path`; its place is kept in the folder `checkpoints`.

    Without a checkpoint it begins with the segments written in the last `look_back` seconds.
    """

    def __init__(
        self,
        path: Path,
        checkpoints: Path,
        *,
        name: str = "",
        look_back: float = LOOK_BACK,
        poll: float = POLL,
        clock: Clock = now,
    ) -> None:
        self.name = name or f"kumomta-log {path}"
        self._path, self._look_back, self._poll, self._clock = path, look_back, poll, clock
        digest = blake2b(os.fsencode(path), digest_size=8).hexdigest()
        self._checkpoint = Checkpoint(checkpoints / f"kumomta-log-{digest}.json", Place)
        self._following: _Following | None = None

    async def batches(self) -> AsyncIterator[list[Event]]:
        """New events; the place moves when the next batch is asked for."""
        following = _Following(self._path, self._checkpoint, self._look_back, self._clock)
        self._following = following
        try:
            while True:
                events = await asyncio.to_thread(following.read)
                if events:
                    yield events
                moved = await asyncio.to_thread(following.commit)
                if not events and not moved:
                    await asyncio.sleep(self._poll)
        finally:
            following.close()

    @property
    def behind(self) -> int:
        """How many bytes of log, packed as they are, have not been read."""
        return self._following.behind if self._following else 0

    @property
    def counted(self) -> dict[str, Place]:
        """The saved place of each stream."""
        return self._checkpoint.saved


class _Following:
    """All lanes of one directory. One call at a time; `close` waits for the one under way."""

    def __init__(
        self, path: Path, checkpoint: Checkpoint[Place], look_back: float, clock: Clock
    ) -> None:
        self._path, self._checkpoint, self._clock = path, checkpoint, clock
        self._places = checkpoint.load()
        self._after = clock() - look_back
        self._lanes: dict[str, Lane] = {}
        self._tree = _Tree(path)
        self._lock = threading.Lock()
        self._closed = False

    def read(self) -> list[Event]:
        """The next events of all lanes, those that are furthest behind first."""
        with self._lock:
            if self._closed:
                return []
            now = self._clock()
            for key, names in self._tree.segments().items():
                self._lane(key).look(names)
            events: list[Event] = []
            open_lanes = list(self._lanes.values())
            while open_lanes and len(events) < BATCH:
                lane = min(open_lanes, key=lambda lane: lane.time)
                more = lane.read(now)
                if more is None:
                    open_lanes.remove(lane)
                else:
                    events += more
            return events

    def commit(self) -> bool:
        """Saves the place of everything read so far; False when it has not moved."""
        with self._lock:
            places = {key: lane.place for key, lane in self._lanes.items() if lane.place}
            return self._checkpoint.save({**self._places, **places})

    def close(self) -> None:
        """Lets go of all files."""
        with self._lock:
            self._closed = True
            for lane in self._lanes.values():
                lane.close()

    @property
    def behind(self) -> int:
        """Bytes not read yet."""
        with self._lock:
            return sum(lane.behind for lane in self._lanes.values())

    def _lane(self, key: Key) -> Lane:
        text = "|".join(key)
        if text not in self._lanes:
            place = self._places.get(text)
            after = self._after if place is None else None
            self._lanes[text] = Lane(self._path, key[0], place, after=after)
        return self._lanes[text]


class _Tree:
    """The segments below a directory, listed again only where something may have changed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._listed: dict[Path, int] = {}
        self._found: dict[Key, list[str]] = {}
        self._polls = 0

    def segments(self) -> dict[Key, list[str]]:
        """For each stream (folder, prefix, suffix) its segments in order of name."""
        self._polls += 1
        if self._polls % RESCAN == 1 or any(_changed(p) != m for p, m in self._listed.items()):
            self._listed.clear()
            self._found = {}
            self._list(self._root, "")
            for names in self._found.values():
                names.sort()
        return self._found

    def _list(self, folder: Path, label: str) -> None:
        """Adds what lies in `folder`, and below it."""
        changed = _changed(folder)
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    # KumoMTA's names are ASCII; what is no text could not be kept in a checkpoint.
                    if entry.name.startswith(".") or not entry.name.isascii():
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        self._list(folder / entry.name, f"{label}{entry.name}/")
                    else:
                        self._add(label, entry.name)
        except OSError as error:
            if folder == self._root:  # others may be gone since their parent was listed
                raise Unavailable(f"{folder}: {error.strerror}") from None
        self._listed[folder] = changed

    def _add(self, label: str, name: str) -> None:
        parts = _SEGMENT.fullmatch(name)
        key = (label, parts[1], parts[2]) if parts else (label, name, "")
        self._found.setdefault(key, []).append(name)


def _changed(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0
