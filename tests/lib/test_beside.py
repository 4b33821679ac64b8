"""Threads that nobody waits for."""

import asyncio
import subprocess
import sys
import threading
import time
from functools import wraps

import pytest
from support import PROJECT

from guard.lib.beside import Beside, in_thread


def in_loop(test):
    """Runs an asynchronous test."""

    @wraps(test)
    def run(*arguments, **named):
        asyncio.run(test(*arguments, **named))

    return run


def waits(true, seconds=10.0):
    """Until another thread has done something."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def cancelled(task):
    """Ends a job as the daemon does."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@in_loop
async def test_each_turn_has_a_thread_and_its_own_pace():
    """One that hangs holds up no other; waking makes all look at once."""
    release, calls = threading.Event(), []

    def hangs(now):
        release.wait()
        return 60.0

    def works(now):
        calls.append(now)
        return 0.0 if len(calls) < 3 else 60.0

    job = Beside("x", [hangs, works], lambda: 7.0)
    task = asyncio.ensure_future(job.run())
    await asyncio.to_thread(waits, lambda: len(calls) == 3)
    job.wake()
    await asyncio.to_thread(waits, lambda: len(calls) == 4)
    assert set(calls) == {7.0}
    begun = time.monotonic()
    await cancelled(task)
    assert time.monotonic() - begun < 5
    release.set()


@in_loop
async def test_a_wake_during_a_turn_is_not_lost():
    """What comes while somebody looks is seen by the next look, not a minute later."""
    calls, inside, go_on = [], threading.Event(), threading.Event()

    def turn(now):
        calls.append(now)
        if len(calls) == 1:
            inside.set()
            go_on.wait()
        return 60.0

    job = Beside("x", [turn], lambda: 0.0)
    task = asyncio.ensure_future(job.run())
    await asyncio.to_thread(inside.wait)
    job.wake()
    go_on.set()
    await asyncio.to_thread(waits, lambda: len(calls) == 2)
    await cancelled(task)


@in_loop
async def test_a_fault_is_logged_and_the_thread_goes_on(caplog):
    """It is called again, later or when somebody wakes it."""
    calls = []

    def fails(now):
        calls.append(now)
        raise RuntimeError("oops")

    job = Beside("reporter x", [fails], lambda: 0.0)
    task = asyncio.ensure_future(job.run())
    await asyncio.to_thread(waits, lambda: len(calls) == 1)
    job.wake()
    await asyncio.to_thread(waits, lambda: len(calls) == 2)
    await cancelled(task)
    assert "reporter x failed" in caplog.text


@in_loop
async def test_work_in_a_thread_returns_and_raises():
    """As if it were called here."""
    assert await in_thread(lambda: 42, "x") == 42
    assert await in_thread(lambda: None, "x") is None
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 // 0, "x")


def test_the_end_of_the_process_waits_for_nobody():
    """Neither for a job's thread nor for a question's, whatever hangs in them."""
    program = """
import asyncio, threading
from guard.lib.beside import Beside, in_thread
async def main():
    hang = threading.Event().wait
    job = asyncio.ensure_future(Beside("x", [lambda now: hang() or 1.0], lambda: 0.0).run())
    asked = asyncio.ensure_future(in_thread(hang, "y"))
    await asyncio.sleep(0.2)
    for task in (job, asked):
        task.cancel()
    await asyncio.wait([job, asked])
asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, timeout=30, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
