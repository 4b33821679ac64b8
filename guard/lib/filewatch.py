"""Tells when files change, by the system's own notices (inotify and its like, through watchdog).

Folders are watched, not files, so that an editor's rename, a file that appears and a link that is
turned to another file are seen too. What counts is whether a file's inode, size or time differs:
being read changes nothing. Where the system gives no notices (too many watches) it says so once,
and whoever owns the files has to tell by hand.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import ObservedWatch

log = logging.getLogger("guard.files")
Signature = tuple[tuple[int, int, int] | None, ...]


class FileWatch(FileSystemEventHandler):
    """Calls `changed`, from a thread of its own, when any of the watched files does."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._lock = threading.Lock()
        self._files: tuple[Path, ...] = ()
        self._seen: Signature = ()
        self._watched: dict[Path, ObservedWatch] = {}
        self._observer = Observer()
        self._observer.daemon = True
        self._observer.start()

    def watch(self, files: Iterable[Path]) -> None:
        """Makes `files` all that is watched, as they are now. They need not exist."""
        wanted = tuple(dict.fromkeys(files))
        folders = {folder for file in wanted for folder in (file.parent, _real(file).parent)}
        with self._lock:
            self._files, self._seen = wanted, signature(wanted)
        for folder in self._watched.keys() - folders:
            self._observer.unschedule(self._watched.pop(folder))
        for folder in sorted(folders - self._watched.keys()):
            try:
                self._watched[folder] = self._observer.schedule(self, str(folder))
            except OSError as error:
                log.warning("changes in %s will not be noticed: %s", folder, error.strerror)

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Something happened in a folder."""
        with self._lock:
            seen = signature(self._files)
            if seen == self._seen:
                return
            self._seen = seen
        self._changed()

    def close(self) -> None:
        """Watches nothing any more."""
        self._observer.stop()
        self._observer.join()


def _real(file: Path) -> Path:
    try:
        return file.resolve()
    except (OSError, RuntimeError):  # a loop of links
        return file


def signature(files: Iterable[Path]) -> Signature:
    """What differs when any of `files` is another one, or is not there."""
    return tuple(_stat(file) for file in files)


def _stat(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
