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
from collections.abc import AsyncIterator
from hashlib import blake2b
from pathlib import Path

from guard.events import Event
from guard.lib.clock import Clock, now
from guard.roles import Unavailable
from guard.sources.checkpoint import Checkpoint
from guard.sources.following import Followed, Following
from guard.sources.lane import Lane, Place

POLL = 0.2
RESCAN = 25  # polls, after which a directory is listed although it looks unchanged
LOOK_BACK = 86400.0

# `{UTC YYYYMMDD-HHMMSS[.fraction]}{suffix}`; the accounting log has a prefix as well.
_SEGMENT = re.compile(r"(.*?)\d{8}-\d{6}(?:\.\d+)?(.*)", re.ASCII | re.DOTALL)

Key = tuple[str, str, str]  # folder, prefix and suffix of the segments of one stream


class KumomtaLog(Followed[Place]):
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
        digest = blake2b(os.fsencode(path.absolute()), digest_size=8).hexdigest()
        super().__init__(Checkpoint(checkpoints / f"kumomta-log-{digest}.json", Place))

    async def batches(self) -> AsyncIterator[list[Event]]:
        """New events; the place moves when the next batch is asked for."""
        lanes = _Lanes(self._path, self._checkpoint.load(), self._clock() - self._look_back)
        self._following = Following(lanes, self._checkpoint, self._clock)
        async for batch in self._following.batches(lambda: asyncio.sleep(self._poll)):
            yield batch

    @property
    def counted(self) -> dict[str, Place]:
        """The saved place of each stream."""
        return self._checkpoint.saved


class _Lanes:
    """All streams of segments below one directory."""

    def __init__(self, path: Path, places: dict[str, Place], after: float) -> None:
        self._path, self._places, self._after = path, places, after
        self._lanes: dict[str, Lane] = {}
        self._tree = _Tree(path)

    def look(self, now: float) -> list[Lane]:
        """The role's of Streams."""
        for key, names in self._tree.segments().items():
            self._lane("|".join(key), key[0]).look(names)
        return list(self._lanes.values())

    def places(self) -> dict[str, Place]:
        """The role's of Streams."""
        places = {key: lane.place for key, lane in self._lanes.items() if lane.place}
        return {**self._places, **places}

    def _lane(self, key: str, label: str) -> Lane:
        if key not in self._lanes:
            place = self._places.get(key)
            after = self._after if place is None else None
            self._lanes[key] = Lane(self._path, label, place, after=after)
        return self._lanes[key]


class _Tree:
    """The segments below a directory, listed again only where something may have changed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._listed: dict[Path, int] = {}
        self._found: dict[Key, list[str]] = {}
        self._more = False  # was there than was found
        self._polls = 0

    def segments(self) -> dict[Key, list[str]]:
        """For each stream (folder, prefix, suffix) its segments in order of name.

        A listing may show what is made while it is under way and miss what was made just before.
        Of two the second has all that is older than anything in the first; the rest is for the
        next look.
        """
        self._polls += 1
        changed = any(_changed(folder) != then for folder, then in self._listed.items())
        if self._polls % RESCAN == 1 or self._more or changed:
            first, found = self._all(), self._all()
            self._found = {
                key: [name for name in names if name <= first[key][-1]]
                for key, names in found.items()
                if key in first
            }
            self._more = self._found != found
        return self._found

    def _all(self) -> dict[Key, list[str]]:
        self._listed.clear()
        found: dict[Key, list[str]] = {}
        self._list(self._root, "", found)
        for names in found.values():
            names.sort()
        return found

    def _list(self, folder: Path, label: str, found: dict[Key, list[str]]) -> None:
        """Adds what lies in `folder`, and below it."""
        changed = _changed(folder)
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    # KumoMTA's names are ASCII; what is no text could not be kept in a checkpoint.
                    if entry.name.startswith(".") or not entry.name.isascii():
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        self._list(folder / entry.name, f"{label}{entry.name}/", found)
                    else:
                        found.setdefault(_stream(label, entry.name), []).append(entry.name)
        except OSError as error:
            if folder == self._root:  # others may be gone since their parent was listed
                raise Unavailable(f"{folder}: {error.strerror}") from None
        self._listed[folder] = changed


def _stream(label: str, name: str) -> Key:
    parts = _SEGMENT.fullmatch(name)
    return (label, parts[1], parts[2]) if parts else (label, name, "")


def _changed(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0
