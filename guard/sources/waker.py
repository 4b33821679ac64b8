"""Wakes a reader when something in its directories changes, where the kernel tells of that.

Only a hint: a network file system tells nothing, and a kernel has no more than so many watches, so
that whoever waits here also looks by itself every so often.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable
from pathlib import Path

from guard.lib import inotify

log = logging.getLogger("guard.sources")


class Waker:
    """Belongs to the running event loop. `watch` may be called again as directories come and go."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._watches: dict[tuple[Path, int], int] = {}
        self._descriptor: int | None = None
        try:
            self._descriptor = inotify.opened()
        except OSError as error:
            self._fail(error)
        else:
            self._loop.add_reader(self._descriptor, self._hear, self._descriptor)

    def watch(self, folders: Iterable[Path]) -> None:
        """Watches exactly these directories, those that are there."""
        if self._descriptor is None:
            return
        wanted = {(f, f.stat().st_ino) for f in set(folders) if f.is_dir()}
        for gone in self._watches.keys() - wanted:
            inotify.remove(self._descriptor, self._watches.pop(gone))
        for folder, inode in wanted - self._watches.keys():
            try:
                self._watches[folder, inode] = inotify.add(self._descriptor, folder)
            except FileNotFoundError:  # since it was looked at
                self._news.set()
            except OSError as error:
                self._fail(error)
                return

    async def wait(self, longest: float) -> None:
        """Returns when something changed, or after `longest` seconds."""
        try:
            async with asyncio.timeout(longest):
                await self._news.wait()
        except TimeoutError:
            return
        self._news.clear()

    def close(self) -> None:
        """Lets go of all watches. Safe to repeat."""
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None

    def _hear(self, descriptor: int) -> None:
        inotify.drain(descriptor)
        self._news.set()

    def _fail(self, error: OSError) -> None:
        self.close()
        log.warning("no file notification (%s): looking every so often instead", error.strerror)
