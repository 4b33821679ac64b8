"""Wakes a reader when something in its directories changes, where the kernel tells of that.

Only a hint: a network file system tells nothing, and a kernel has no more than so many watches, so
that whoever waits here also looks by itself every so often.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

if TYPE_CHECKING:
    from watchdog.observers.api import ObservedWatch

log = logging.getLogger("guard.sources")


class Waker(FileSystemEventHandler):
    """Belongs to the running event loop. `watch` may be called again as directories come and go."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._observer = Observer()
        self._watches: dict[tuple[Path, int], ObservedWatch] = {}
        self._failed = False
        try:
            self._observer.start()
        except OSError as error:
            self._fail(error)

    def dispatch(self, event: FileSystemEvent) -> None:
        """Called by the observer's thread."""
        if event.event_type in ("opened", "closed_no_write", "closed"):
            return  # our own reading
        if self._news.is_set():
            return  # a busy directory tells the same a thousand times
        try:
            self._loop.call_soon_threadsafe(self._news.set)
        except RuntimeError:  # the loop has ended
            return

    def watch(self, folders: Iterable[Path]) -> None:
        """Watches exactly these directories, those that are there."""
        wanted = {(f, f.stat().st_ino) for f in set(folders) if f.is_dir()}
        for gone in self._watches.keys() - wanted:
            try:
                self._observer.unschedule(self._watches.pop(gone))
            except (KeyError, OSError):
                continue
        for folder, inode in wanted - self._watches.keys():
            if self._failed:
                return
            try:
                watch = self._observer.schedule(self, str(folder))
            except OSError as error:
                self._fail(error)
                return
            self._watches[folder, inode] = watch

    async def wait(self, longest: float) -> None:
        """Returns when something changed, or after `longest` seconds."""
        try:
            async with asyncio.timeout(longest):
                await self._news.wait()
        except TimeoutError:
            return
        self._news.clear()

    def close(self) -> None:
        """Ends the observer's threads."""
        if self._observer.is_alive():
            self._observer.stop()
            self._observer.join()

    def _fail(self, error: OSError) -> None:
        self._failed = True
        log.warning("no file notification (%s): looking every so often instead", error.strerror)
