"""One destination: its queue, and how many serve it."""

import asyncio
from typing import Any

import pytest

from guard.mail.policy import Policy
from guard.mail.replies import Undeliverable, failure
from guard.mail.resolver import Host
from guard.mail.routing import Route
from guard.mail.schedule import Rate, Schedule
from guard.mail.site import Job, Shared, Site


class Clock:
    """A clock that the test turns."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def site(clock: Clock | None = None, started: list[Site] | None = None, **policy: Any) -> Site:
    """A site whose workers are only counted."""
    unused: Any = None
    shared = Shared(unused, unused, unused, clock or Clock(), unused, unused)
    start = (started if started is not None else []).append
    return Site(Route("y.test", 25), Policy(**policy), shared, start)


def job() -> Job:
    """Some job."""
    unused: Any = None
    return Job("a@b", ["x@y"], 1, False, unused, unused)


def test_workers_come_with_jobs_up_to_the_limit():
    """One a job, while none is idle; never more than the policy's connections."""
    started: list[Site] = []
    one = site(started=started, connections=3)
    for _ in range(5):
        one.put(job())
    assert len(started) == 3
    assert one.room == 1
    assert not one.empty


def test_an_idle_worker_is_enough():
    """No second one is started for what the first can take."""

    async def main() -> None:
        started: list[Site] = []
        one = site(started=started)
        one.put(job())
        assert await one.next(1) is not None
        waiting = asyncio.ensure_future(one.next(1))
        await asyncio.sleep(0)
        one.put(job())
        assert len(started) == 1
        assert await waiting is not None

    asyncio.run(main())


def test_patience_ends():
    """Nothing comes: the worker may go, and then nothing keeps the site."""

    async def main() -> None:
        one = site()
        one.put(job())
        assert await one.next(1) is not None
        assert await one.next(0.01) is None
        one.gone()
        assert one.empty

    asyncio.run(main())


@pytest.mark.parametrize("late", [0.0, -0.0005, 0.0005, 0.002])
def test_a_job_at_the_end_of_patience_is_not_lost(late: float):
    """It is given to the worker that is about to go, or a new one is started for it."""

    async def main() -> None:
        for _ in range(20):
            started: list[Site] = []
            one = site(started=started)
            one.put(job())
            assert await one.next(1) is not None
            loop = asyncio.get_running_loop()
            loop.call_later(0.01 + late, one.put, job())
            found = await one.next(0.01)
            if found is None:
                one.gone()
            await asyncio.sleep(0.005)
            assert found is not None or len(started) == 2

    asyncio.run(main())


def test_finish_sends_every_worker_home():
    """What is queued stays on disk for the next time."""

    async def main() -> None:
        one = site(connections=2)
        for _ in range(4):
            one.put(job())
        one.finish()
        assert [await one.next(1), await one.next(1)] == [None, None]

    asyncio.run(main())


def test_down_for_a_while():
    """What could not be reached is not asked for again at once; a quick schedule asks sooner."""
    clock = Clock()
    for interval, pause in ((1200.0, 10.0), (4.0, 2.0)):
        one = site(clock, schedule=Schedule(interval))
        one.check()
        one.down(Undeliverable(failure(451, (4, 4, 2), "nobody there")))
        clock.now += pause - 0.1
        with pytest.raises(Undeliverable, match="nobody there"):
            one.check()
        clock.now += 0.2
        one.check()


def test_hosts_that_cannot_be_reached_are_tried_last():
    """For a minute; then the preference counts again."""
    clock = Clock()
    first, second = Host("a", "192.0.2.1", 25), Host("b", "192.0.2.2", 25)
    one = site(clock)
    assert one.order([first, second]) == [first, second]
    one.bad(first)
    assert one.order([first, second]) == [second, first]
    clock.now += 61
    assert one.order([first, second]) == [first, second]


def test_rate():
    """Evenly spread; the clock decides."""

    async def main() -> float:
        one = site(rate=Rate(100, 1.0))
        begin = asyncio.get_running_loop().time()
        for _ in range(3):
            await one.admit()
        return asyncio.get_running_loop().time() - begin

    # The clock stands still, so that the second waits 10 ms and the third 20.
    assert asyncio.run(main()) >= 0.03 - 0.002
