"""Work that may wait for the world, in threads that nobody waits for.

A thread that hangs in a call holds up neither the event loop, nor its default threads (whose end
an orderly stop awaits), nor the end of the process: all threads here are daemon threads. What they
do has to be safe to cut off at any point.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from guard.lib.clock import Clock

log = logging.getLogger("guard.beside")
T = TypeVar("T")

FAULT_PAUSE = 60.0
GRACE = 0.5
Turn = Callable[[float], float]


class Beside:
    """A job that runs each of `turns` in a thread of its own.

    A turn is told the time, and returns after how many seconds it wants to be called again; `wake`
    calls all at once. What a turn raises is logged, and it is called again later.
    """

    def __init__(self, name: str, turns: Sequence[Turn], clock: Clock) -> None:
        self._name, self._turns, self._clock = name, turns, clock
        self._stopping = threading.Event()
        self._wakes = [threading.Event() for _ in turns]

    def wake(self) -> None:
        """Somebody has something to do. May be called from any thread; costs nothing."""
        for wake in self._wakes:
            if not wake.is_set():
                wake.set()

    async def run(self) -> None:
        """Works until it is cancelled, and then leaves behind what does not end at once."""
        self._stopping.clear()
        threads = [
            threading.Thread(target=self._repeat, args=pair, name=self._name, daemon=True)
            for pair in zip(self._turns, self._wakes, strict=True)
        ]
        for thread in threads:
            thread.start()
        try:
            await asyncio.Event().wait()
        finally:
            self._stopping.set()
            self.wake()
            deadline = time.monotonic() + GRACE
            for thread in threads:
                thread.join(max(0.0, deadline - time.monotonic()))
            if any(thread.is_alive() for thread in threads):
                log.info("%s is still waiting for an answer, which nobody waits for", self._name)

    def _repeat(self, turn: Turn, wake: threading.Event) -> None:
        while not self._stopping.is_set():
            wake.clear()
            try:
                pause = turn(self._clock())
            except Exception:  # a fault of ours in a thread must not end it in silence
                if self._stopping.is_set():
                    return
                log.exception("%s failed; again in %gs", self._name, FAULT_PAUSE)
                pause = FAULT_PAUSE
            if pause > 0:
                wake.wait(pause)


async def in_thread(work: Callable[[], T], name: str) -> T:
    """What `work` returns or raises, done in a thread that the end of the process leaves behind."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: BaseException | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(result)  # type: ignore[arg-type]  # None is a T here

    def do() -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = work()
        except BaseException as raised:
            error = raised
        try:
            loop.call_soon_threadsafe(tell, result, error)
        except RuntimeError:  # the loop is closed: nobody waits any more
            log.debug("%s: nobody waited for the end", name)

    threading.Thread(target=do, name=name, daemon=True).start()
    return await answer
