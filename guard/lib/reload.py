"""Reads configuration anew while everything runs: on request, and when one of its files changes.

Reading happens in a thread and may take its time, but not in secret, and it does not hold up the
end of the process: an operator's own module may be part of it. Applying happens on the event loop,
at once, so that no session sees half of it. What cannot be read changes nothing: the old
configuration stays, and the log says why, fault by fault.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from guard.lib.filewatch import FileWatch, signature

log = logging.getLogger("guard.reload")
T = TypeVar("T")
V = TypeVar("V")
_LONG = 10.0  # seconds that reading may take before the log has a line of it
_QUIET = 0.3  # seconds without a change, for editors and tools that write in several steps


class Reloader(Generic[T]):
    """`read` raises `broken` for what cannot be used; `apply` must not fail.

    `files` names what to watch, asked again after each reload. Make it as soon as the first
    configuration is read: what changes from then on is noticed, even before `run`.
    """

    def __init__(
        self,
        read: Callable[[], T],
        apply: Callable[[T], None],
        files: Callable[[], Iterable[Path]],
        broken: type[Exception],
        quiet: float = _QUIET,
    ) -> None:
        self._read, self._apply, self._files = read, apply, files
        self._broken, self._quiet = broken, quiet
        self._asked = asyncio.Event()
        self._known = signature(files())  # as they were when the first configuration was read
        self._timer: asyncio.TimerHandle | None = None

    def request(self) -> None:
        """Has everything read anew, soon. For a signal handler of the loop."""
        self._asked.set()

    async def run(self) -> None:
        """Watches and reloads until it is cancelled."""
        loop = asyncio.get_running_loop()
        watch = FileWatch(lambda: _call_soon(loop, self._changed))
        try:
            watch.watch(self._files())
            if signature(self._files()) != self._known:
                self._asked.set()
            while True:
                await self._asked.wait()
                self._asked.clear()
                await self.reload()
                watch.watch(self._files())
        finally:
            if self._timer:
                self._timer.cancel()
            await asyncio.to_thread(watch.close)

    async def reload(self) -> bool:
        """Reads and applies; False when the old configuration had to stay."""
        late = asyncio.get_running_loop().call_later(_LONG, _complain)
        try:
            new = await _aside(self._read)
        except self._broken as error:
            for line in str(error).splitlines():
                log.error("%s", line)
            log.error("the new configuration has faults; the old one stays in force")
            return False
        except Exception:  # our own fault must not end a daemon that works
            log.exception("reading the configuration failed; the old one stays in force")
            return False
        finally:
            late.cancel()
        self._apply(new)
        log.info("the new configuration is in force")
        return True

    def _changed(self) -> None:
        """A file changed; more of the same change may follow."""
        if self._timer:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._quiet, self._asked.set)


def _complain() -> None:
    log.error("reading the new configuration has no end; the old one stays in force until then")


async def _aside(read: Callable[[], T]) -> T:
    """What `read` gives or raises, from a thread that nobody waits for at the end."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def work() -> None:
        try:
            value = read()
        except Exception as error:
            _call_soon(loop, partial(_settle, answer, answer.set_exception, error))
        else:
            _call_soon(loop, partial(_settle, answer, answer.set_result, value))

    threading.Thread(target=work, name="guard-reload", daemon=True).start()
    return await answer


def _settle(answer: asyncio.Future[T], how: Callable[[V], object], value: V) -> None:
    if not answer.done():  # else nobody waits any more
        how(value)


def _call_soon(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    try:
        loop.call_soon_threadsafe(function)
    except RuntimeError:
        return  # the loop has ended
