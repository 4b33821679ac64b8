"""Calls of the operator's functions: in time, off the event loop, whatever they do."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable

import pytest

from guard.relay.calls import CallFailed, Calls


def run(test: Callable[[Calls], Awaitable[object]], limit: float = 5.0, workers: int = 8) -> object:
    """Runs `test` with Calls that are closed at the end."""
    calls = Calls(limit, workers)

    async def main() -> object:
        return await test(calls)

    try:
        return asyncio.run(main())
    finally:
        calls.close()


async def failure(calls: Calls, function: Callable[..., object], *args: object) -> str:
    """Why a call failed."""
    with pytest.raises(CallFailed) as error:
        await calls.call(function, *args)
    return str(error.value)


async def later(value: object) -> object:
    """An async function that gives way once."""
    await asyncio.sleep(0)
    return value


def test_plain_and_async_functions_give_their_values():
    """Also a plain function that returns something to be awaited, and None."""

    async def test(calls: Calls) -> object:
        return [
            await calls.call(lambda a, b: a + b, 1, 2),
            await calls.call(later, 3),
            await calls.call(lambda: later(4)),
            await calls.call(lambda: None),
        ]

    assert run(test) == [3, 3, 4, None]


def test_neither_kind_runs_on_the_event_loops_thread():
    """Async functions share one loop of their own; plain ones have threads."""

    async def which() -> int:
        return threading.get_ident()

    async def test(calls: Calls) -> object:
        return [
            threading.get_ident(),
            await calls.call(which),
            await calls.call(which),
            await calls.call(threading.get_ident),
        ]

    here, first, second, plain = run(test)
    assert first == second
    assert len({here, first, plain}) == 3


def test_what_a_function_raises_is_told_with_its_line():
    """Type, text and the line of the operator's own file; SystemExit is no exception."""

    def bad() -> None:
        int("x")

    def leave() -> None:
        raise SystemExit(3)

    async def bad_later() -> None:
        raise KeyboardInterrupt

    class Nasty(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def nasty() -> None:
        raise Nasty

    async def test(calls: Calls) -> object:
        told = [await failure(calls, some) for some in (bad, leave, bad_later, nasty)]
        return [*told, await calls.call(later, "alive")]

    first, left, interrupted, unprintable, alive = run(test)
    line = bad.__code__.co_firstlineno + 1
    assert first.startswith("raised ValueError: invalid literal")
    assert first.endswith(f"(line {line} of {__file__})")
    assert left.startswith("raised SystemExit: 3 (line")
    assert interrupted.startswith("raised KeyboardInterrupt")
    assert unprintable.startswith("raised Nasty (line")
    assert alive == "alive"


def test_a_timeout_of_the_functions_own_is_told_as_such():
    """It is not taken for ours."""

    def slow_socket() -> None:
        raise TimeoutError("of mine")

    async def test(calls: Calls) -> object:
        return await failure(calls, slow_socket)

    assert str(run(test)).startswith("raised TimeoutError: of mine")


def test_a_function_that_hangs_stops_nobody_else():
    """The loop goes on turning, the call ends in time, and others are answered meanwhile."""
    release = threading.Event()

    async def hang() -> None:
        release.wait()  # an async function that blocks its loop, the worst of its kind

    async def test(calls: Calls) -> object:
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0.01)
                turns += 1

        async with asyncio.TaskGroup() as group:
            turning = group.create_task(turn())
            told = [await failure(calls, release.wait), await failure(calls, hang)]
            told.append(await calls.call(lambda: "another"))
            turning.cancel()
        release.set()
        return told, turns

    told, turns = run(test, limit=0.2)
    assert told == ["gave no answer within 0.2s", "gave no answer within 0.2s", "another"]
    assert turns > 10


def test_an_async_function_that_waits_is_cancelled():
    """What it holds is let go of in its own finally."""
    ended = threading.Event()

    async def wait() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    async def test(calls: Calls) -> object:
        return await failure(calls, wait), await asyncio.to_thread(ended.wait, 5)

    assert run(test, limit=0.05) == ("gave no answer within 0.05s", True)


def test_a_score_of_stuck_calls_keeps_nobody_waiting():
    """With as many workers as a listener has: one client more is answered while they hang."""
    release, calls = threading.Event(), Calls()

    async def test() -> object:
        async with asyncio.TaskGroup() as group:
            stuck = [group.create_task(calls.call(release.wait, 5)) for _ in range(20)]
            await asyncio.sleep(0)
            answer = await calls.call(lambda: "served")
            hanging = [task.done() for task in stuck]
            release.set()
        return answer, any(hanging)

    try:
        assert asyncio.run(test()) == ("served", False)
    finally:
        calls.close()


def test_calls_do_not_pile_up_behind_stuck_ones(monkeypatch):
    """When all workers are kept and the queue is full, a call fails at once; later it recovers."""
    monkeypatch.setattr("guard.relay.calls._WAITING", 2)
    release = threading.Event()

    async def test(calls: Calls) -> object:
        async with asyncio.TaskGroup() as group:
            stuck = [group.create_task(failure(calls, release.wait)) for _ in range(4)]
        assert {task.result() for task in stuck} == {"gave no answer within 0.1s"}
        begun = time.monotonic()
        refused = await failure(calls, later, 1)
        took = time.monotonic() - begun
        release.set()
        for _ in range(1000):
            if not calls._running:
                break
            await asyncio.sleep(0.005)
        return refused, took < 0.09, await calls.call(lambda: "again")

    refused, at_once, again = run(test, limit=0.1, workers=2)
    assert refused == "was not asked: 4 earlier calls have not come back"
    assert at_once
    assert again == "again"


def test_the_same_calls_serve_one_loop_after_another():
    """A stuck call of an ended loop disturbs nobody."""
    release, calls = threading.Event(), Calls(0.05)
    try:
        asyncio.run(failure(calls, release.wait))
        release.set()
        assert asyncio.run(calls.call(later, 5)) == 5
    finally:
        calls.close()
