"""Calls the operator's own functions without trusting them: in time, and off the event loop.

A plain function runs in one of a few worker threads, an async one on an event loop of its own in
another thread; so neither a sleep nor an endless loop in it stops the listener, whichever kind it
is. A thread cannot be ended from outside: a function that never returns keeps its worker, and
when all workers are kept so, further calls fail at once instead of piling up. The threads are
daemons, so a stuck one does not hold up the end of the process. Code that never lets go of the
interpreter's lock (a C extension) can still stop everything.
"""

from __future__ import annotations

import asyncio
import inspect
import queue
import threading
from collections.abc import Awaitable, Callable
from typing import Any

LIMIT = 5.0  # seconds; a mail client waits five minutes for RCPT, other clients wait for none
_WORKERS = 32  # so many clients may meet a function that hangs before others have to wait
_WAITING = 1024
_Outcome = tuple[object, BaseException | None]


class CallFailed(Exception):
    """A call gave no answer; the text says why, for the operator alone.

    `bare` is the text without anything that the function itself has written.
    """

    def __init__(self, text: str, bare: str = "") -> None:
        super().__init__(text)
        self.bare = bare or text


class Calls:
    """Runs functions within `limit` seconds each. Used from one event loop; `close` at the end."""

    def __init__(self, limit: float = LIMIT, workers: int = _WORKERS) -> None:
        self.limit = limit
        self._workers = workers
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._started = 0
        self._running = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._tasks: dict[asyncio.Future[object], asyncio.Task[_Outcome]] = {}

    async def call(self, function: Callable[..., Any], *args: object) -> object:
        """What `function(*args)` returns, awaited if need be. Raises CallFailed."""
        if self._running >= self._workers + _WAITING:
            raise CallFailed(f"was not asked: {self._running} earlier calls have not come back")
        try:
            async with asyncio.timeout(self.limit):
                if inspect.iscoroutinefunction(function):
                    return await self._on_loop(function(*args))
                answer = await self._in_worker(function, args)
                return await self._on_loop(answer) if inspect.isawaitable(answer) else answer
        except TimeoutError:
            raise CallFailed(f"gave no answer within {self.limit:g}s") from None

    async def _in_worker(self, function: Callable[..., Any], args: tuple[object, ...]) -> object:
        answer = self._answer()

        def job() -> None:
            value, error = None, None
            if not answer.done():  # else nobody waits for it any more
                try:
                    value = function(*args)
                except BaseException as raised:  # the operator's code may raise anything
                    error = raised
            self._settle(answer, value, error)

        if self._started < min(self._running, self._workers):
            self._started += 1
            threading.Thread(target=self._work, name="guard-hook", daemon=True).start()
        self._jobs.put(job)
        return await answer

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    async def _on_loop(self, awaitable: Awaitable[object]) -> object:
        """Awaits on the loop that all async functions share, so that they may share clients."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=self._loop.run_forever, name="guard-hook-loop", daemon=True
            )
            self._thread.start()
        loop, answer = self._loop, self._answer()

        def begin() -> None:
            task = loop.create_task(_outcome(awaitable))
            task.add_done_callback(end)
            self._tasks[answer] = task

        def end(task: asyncio.Task[_Outcome]) -> None:
            del self._tasks[answer]
            self._settle(answer, *((None, None) if task.cancelled() else task.result()))

        def give_up() -> None:
            if answer in self._tasks:
                self._tasks[answer].cancel()

        loop.call_soon_threadsafe(begin)
        try:
            return await answer
        finally:
            _call_soon(loop, give_up)

    def _answer(self) -> asyncio.Future[object]:
        """What a call waits for. It counts until it is settled, which may be long after."""
        self._running += 1
        return asyncio.get_running_loop().create_future()

    def _settle(
        self, answer: asyncio.Future[object], value: object, error: BaseException | None
    ) -> None:
        """From another thread: the function came back."""

        def settle() -> None:
            self._running -= 1
            if answer.done():
                return
            if error is None:
                answer.set_result(value)
            else:
                answer.set_exception(_failure(error))

        _call_soon(answer.get_loop(), settle)

    def close(self) -> None:
        """Ends the threads that can be ended."""
        for _ in range(self._started):
            self._jobs.put(None)
        loop, thread = self._loop, self._thread
        self._started, self._loop, self._thread = 0, None, None
        if loop is not None and thread is not None:
            asyncio.run_coroutine_threadsafe(_end_loop(), loop)
            thread.join(1.0)
            if not thread.is_alive():
                loop.close()


def _call_soon(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    try:
        loop.call_soon_threadsafe(function)
    except RuntimeError:
        return  # the loop has ended, and with it whoever asked


async def _end_loop() -> None:
    loop, me = asyncio.get_running_loop(), asyncio.current_task()
    for task in asyncio.all_tasks():
        if task is not me:
            task.cancel()
    loop.call_soon(loop.stop)  # after the tasks have heard of it


async def _outcome(awaitable: Awaitable[object]) -> _Outcome:
    """What came of it, as a value: SystemExit raised would end the loop that all calls share."""
    try:
        return await awaitable, None
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        return None, error


def _failure(error: BaseException) -> CallFailed:
    """`raised ValueError: no (line 7 of policy.py)`: the innermost line of the operator's file."""
    name = type(error).__name__
    try:
        text = f"{name}: {error}"
    except Exception:  # a text of its own that raises
        text = name
    trace, file, line = error.__traceback__, "", 0
    while trace is not None:
        here = trace.tb_frame.f_code.co_filename
        if here != __file__:
            file = file or here
            line = trace.tb_lineno if here == file else line
        trace = trace.tb_next
    place = f" (line {line} of {file})" if file else ""
    return CallFailed(f"raised {text}{place}", f"raised {name}{place}")
