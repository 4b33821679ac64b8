"""Streams are read together: in order of time, in bounded steps, each place saved when counted."""

import asyncio

from kumo import AT

from guard.events import Kind, Rejection
from guard.sources.checkpoint import Checkpoint
from guard.sources.following import BATCH, BLOCKS, Following


class Numbers:
    """A stream that has the given times, so many in a block; blocks may be empty."""

    def __init__(self, times: list[float], block: int) -> None:
        self.time, self.at, self.closed = 0.0, 0, False
        self.times, self.block, self.faults = times, block, 0

    def read(self, now: float):
        if self.at >= len(self.times):
            return None
        block = self.times[self.at : self.at + self.block]
        self.at += self.block
        self.time = max(self.time, *block)
        return [Rejection(time, "192.0.2.1", Kind.OTHER) for time in block if time > 0]

    @property
    def behind(self) -> int:
        return max(0, len(self.times) - self.at)

    def close(self) -> None:
        self.closed = True


class Both:
    """Two streams."""

    def __init__(self, *streams: Numbers) -> None:
        self.streams = list(streams)

    def look(self, now: float) -> list[Numbers]:
        return self.streams

    def places(self) -> dict[str, int]:
        return {str(number): stream.at for number, stream in enumerate(self.streams)}


def following(tmp_path, *streams: Numbers) -> Following:
    """Follows streams."""
    return Following(Both(*streams), Checkpoint(tmp_path / "x.json", int), lambda: AT)


def test_the_stream_that_is_furthest_behind_comes_first(tmp_path):
    """After a downtime two streams are caught up side by side."""
    first = Numbers([float(number) for number in range(1, 1000, 2)], 10)
    second = Numbers([float(number) for number in range(2, 1001, 2)], 10)
    made = following(tmp_path, first, second)
    heard: list[float] = []
    while events := made.read():
        heard += [event.time for event in events]
    assert sorted(heard) == [float(number) for number in range(1, 1001)]
    assert max(max(heard[:at], default=0.0) - time for at, time in enumerate(heard)) <= 40


def test_a_read_is_bounded_by_events_and_by_bytes(tmp_path):
    """A log that says nothing is read in steps, so that its place moves and the end is heard."""
    silent = Numbers([0.0] * 100 * BLOCKS, 1)
    made = following(tmp_path, silent)
    assert made.read() == []
    assert silent.at == BLOCKS
    assert made.commit()
    loud = following(tmp_path, Numbers([1.0] * 100_000, 500))
    assert BATCH <= len(loud.read()) < BATCH + 500
    assert loud.behind > 0


def test_many_silent_streams_starve_nobody(tmp_path):
    """However many logs a pattern finds, the one that speaks is heard."""
    silent = [Numbers([], 1) for _ in range(3 * BLOCKS)]
    speaking = Numbers([5.0], 1)
    speaking.time = 1e9
    assert [event.time for event in following(tmp_path, *silent, speaking).read()] == [5.0]


def test_a_log_that_says_nothing_does_not_hold_up_the_others(tmp_path):
    """Gigabytes of it are read beside the one that speaks, not before it."""
    endless = Numbers([0.0] * 10**6, 1)
    speaking = Numbers([float(number) for number in range(1, 50)], 10)
    made = following(tmp_path, endless, speaking)
    heard = [event.time for _ in range(6) for event in made.read()]
    assert heard == speaking.times


def test_it_reads_on_without_waiting_while_there_is_more(tmp_path):
    """And waits only when everything was read and every place is saved."""
    silent = Numbers([0.0] * 5 * BLOCKS + [7.0], 1)
    made, waits = following(tmp_path, silent), 0

    async def wait() -> None:
        nonlocal waits
        waits += 1
        made.finish()

    async def play() -> list[float]:
        return [event.time async for batch in made.batches(wait) for event in batch]

    assert asyncio.run(play()) == [7.0]
    assert waits == 1
    assert silent.closed
    assert Checkpoint(tmp_path / "x.json", int).load() == {"0": 5 * BLOCKS + 1}


def test_the_file_follows_a_mark_within_a_second(tmp_path):
    """A place that is kept with the counts costs no write of its own; a stop writes it."""
    clock = [AT]
    path = tmp_path / "x.json"
    stream = Numbers([float(number) for number in range(1, 40)], 1)
    made = Following(Both(stream), Checkpoint(path, int), lambda: clock[0])

    def counted(step: float) -> dict[str, int]:
        """What is on disk after another batch that was marked, `step` seconds later."""
        clock[0] += step
        stream.at += 1
        mark = made.mark()
        assert made.commit()
        # Whoever starts now goes on at the later of the two.
        started = Checkpoint(path, int)
        started.resume(mark)
        assert started.load() == {"0": stream.at}
        return Checkpoint(path, int).load()

    assert counted(0) == {"0": 1}
    assert counted(0.5) == counted(0.4) == {"0": 1}
    assert counted(0.2) == {"0": 4}
    stream.at += 1
    assert made.commit()
    assert Checkpoint(path, int).load() == {"0": 5}, "what has no mark is written at once"
    assert counted(0.1) == {"0": 5}
    assert not made.commit()
    assert Checkpoint(path, int).load() == {"0": 6}
    assert counted(0.1) == {"0": 6}
    made.close()
    assert Checkpoint(path, int).load() == {"0": 7}
