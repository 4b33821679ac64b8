"""The live directory: every record once, across growth, rotation, restarts and crashes."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import aclosing, closing
from pathlib import Path
from unittest import mock

import pytest
import zstandard
from kumo import AT, Kumo, line, readable, rejection

from guard.roles import Unavailable
from guard.sources.following import BATCH
from guard.sources.kumomta_log import KumomtaLog


class Heard:
    """A source that is listened to, and what it said: times as numbers, ids beside them."""

    def __init__(self, folder: Path, state: Path, **more) -> None:
        self.source = KumomtaLog(folder, state, poll=0.01, **more)
        self.numbers: list[int] = []
        self.ids: list[str] = []
        self.sizes: list[int] = []

    async def until(self, count: int) -> None:
        """Listens until `count` events were heard in all, and lets the last be checkpointed."""
        async with asyncio.timeout(20):
            async for batch in self.source.batches():
                self.sizes.append(len(batch))
                self.numbers += [int(event.time) - AT for event in batch]
                self.ids += [getattr(event, "id", "") for event in batch]
                if len(self.numbers) >= count:
                    break


def listen(folder: Path, state: Path, count: int, **more) -> Heard:
    """Listens for `count` events and stops before they are checkpointed, as a crash would."""
    heard = Heard(folder, state, **more)
    asyncio.run(heard.until(count))
    return heard


class Idle(Exception):
    """The source has nothing to do: everything was read, and every place is saved."""


async def idle(seconds: float) -> None:
    """Stands in for the sleep of a source that waits for more."""
    raise Idle


async def settled(heard: Heard) -> None:
    """Listens until there is no more; what was heard is checkpointed at the end."""
    with pytest.raises(Idle), mock.patch.object(asyncio, "sleep", idle):
        await heard.until(sys.maxsize)


def settle(folder: Path, state: Path, **more) -> Heard:
    """What a source hears until there is no more, checkpointed."""
    heard = Heard(folder, state, **more)
    asyncio.run(settled(heard))
    return heard


def test_an_unfinished_frame_is_read_as_it_grows(tmp_path):
    """Blocks that reach the disk are heard at once, whole lines only; the rest later."""
    log, state = tmp_path / "log", tmp_path / "state"
    kumo = Kumo(log)

    async def play() -> list[list[int]]:
        heard, seen = Heard(log, state), []
        batches = heard.source.batches()
        for step in range(3):
            kumo.write(rejection(2 * step) + rejection(2 * step + 1)[:50])
            kumo.flush()
            seen.append([int(event.time) - AT for event in await anext(batches)])
            kumo.write(rejection(2 * step + 1)[50:])
            kumo.flush()
            seen.append([int(event.time) - AT for event in await anext(batches)])
        await batches.aclose()
        return seen

    assert asyncio.run(play()) == [[0], [1], [2], [3], [4], [5]]
    kumo.crash()


def test_segments_follow_by_name_and_a_closed_one_ends(tmp_path):
    """After a read-only segment comes the next by name."""
    kumo = Kumo(tmp_path / "log")
    for number in range(90):
        kumo.write(rejection(number))
        if number % 30 == 29:
            kumo.close()
    heard = settle(tmp_path / "log", tmp_path / "state")
    assert heard.numbers == list(range(90))
    assert len(set(heard.ids)) == 90


def test_a_restart_goes_on_where_counting_ended(tmp_path):
    """What was checkpointed is not heard again, in the middle of a segment too."""
    log, state = tmp_path / "log", tmp_path / "state"
    kumo = Kumo(log)
    kumo.write(b"".join(map(rejection, range(10))))
    kumo.flush()
    assert settle(log, state).numbers == list(range(10))
    kumo.write(b"".join(map(rejection, range(10, 20))))
    kumo.close()
    assert settle(log, state).numbers == list(range(10, 20))
    assert settle(log, state).numbers == []
    kumo.write(rejection(20))
    kumo.close()
    assert settle(log, state).numbers == [20]


def test_what_was_not_counted_comes_again_with_the_same_ids(tmp_path):
    """A crash between hearing and counting loses nothing; ids tell what is heard twice."""
    log, state = tmp_path / "log", tmp_path / "state"
    kumo = Kumo(log)
    kumo.write(b"".join(map(rejection, range(50))))
    kumo.close()
    first, second = listen(log, state, 50), listen(log, state, 50)
    assert first.numbers == second.numbers == list(range(50))
    assert first.ids == second.ids


def test_segments_that_were_removed_are_no_trouble(tmp_path):
    """A checkpoint in a segment that log rotation removed goes on with the next one."""
    log, state = tmp_path / "log", tmp_path / "state"
    kumo = Kumo(log)
    kumo.write(rejection(1))
    first = kumo.close()
    assert settle(log, state).numbers == [1]
    first.unlink()
    kumo.write(rejection(2))
    kumo.close()
    assert settle(log, state).numbers == [2]


def test_types_in_directories_and_suffixes_run_beside_one_another(tmp_path):
    """per_record with log_dir or suffix: each is a stream of its own, each has its place."""
    log, state = tmp_path / "log", tmp_path / "state"
    plain, suffixed, below = Kumo(log), Kumo(log, "_rejected"), Kumo(log / "deep" / "er")
    for number in range(0, 30, 3):
        plain.write(line("Reception", number))
        suffixed.write(rejection(number + 1))
        below.write(rejection(number + 2))
    for kumo in (plain, suffixed, below):
        kumo.flush()
    assert sorted(settle(log, state).numbers) == list(range(30))
    for kumo in (plain, suffixed, below):
        kumo.write(rejection(30))
        kumo.close()
    assert settle(log, state).numbers == [30, 30, 30]


def test_catching_up_runs_in_order_of_time_across_streams(tmp_path):
    """After a downtime no stream runs a day ahead of another."""
    log = tmp_path / "log"
    for name in ("a", "b"):
        kumo = Kumo(log / name)
        for number in range(3000):
            kumo.write(rejection(number, headers={"x": os.urandom(200).hex()}))
        kumo.close()
    heard = listen(log, tmp_path / "state", 6000)
    late = max(
        max(heard.numbers[:at], default=0) - number for at, number in enumerate(heard.numbers)
    )
    assert sorted(heard.numbers) == sorted([*range(3000), *range(3000)])
    assert late < 1500
    assert max(heard.sizes) < 3 * BATCH


def test_a_first_start_does_not_dig_up_last_year(tmp_path):
    """Without a checkpoint only segments written of late are read."""
    log = tmp_path / "log"
    kumo = Kumo(log)
    for number in range(3):
        kumo.write(rejection(number))
        path = kumo.close()
        if number < 2:
            os.utime(path, (AT, AT))
    assert settle(log, tmp_path / "state").numbers == [2]
    assert settle(log, tmp_path / "other", look_back=1e12).numbers == [0, 1, 2]


def test_a_copy_that_stays_writable_ends_when_a_later_one_is_there(tmp_path):
    """rsync does not make files read-only; a minute of silence and a successor end them."""
    log, state = tmp_path / "log", tmp_path / "state"
    kumo = Kumo(log)
    for number in range(2):
        kumo.write(rejection(number))
        kumo.close().chmod(0o644)
    assert settle(log, state, look_back=1e12).numbers == [0]
    later = time.time() + 61
    assert settle(log, state, clock=lambda: later).numbers == [1]


def test_faults_are_logged_once_a_segment_and_hide_nothing(tmp_path, caplog):
    """A foreign file, damage and a truncated line are told; what is around them is heard."""
    log = tmp_path / "log"
    kumo = Kumo(log)
    kumo.write(rejection(0) + b"junk\n" * 50 + rejection(1) + rejection(2)[:30])
    first = kumo.close()
    (log / "README").write_text("not a log")
    (log / "20990101-000000").write_bytes(b"\x28\xb5\x2f\xfd" + b"\xff" * 100)
    (log / "20990101-000001").write_bytes(rejection(3))
    for path in log.iterdir():
        path.chmod(0o444)
    heard = settle(log, tmp_path / "state")
    assert heard.numbers == [0, 1, 3]
    told = sorted(record.getMessage() for record in caplog.records)
    assert told == sorted(
        [
            f"{first.name}:2: no log record",
            f"{first.name}:53: last line cut short",
            "README:1: last line cut short",
            "20990101-000000:1: damaged compression",
        ]
    )


def test_a_missing_directory_is_unavailable(tmp_path):
    """The daemon hears of it, and may try again."""
    with pytest.raises(Unavailable, match="absent: No such file"):
        settle(tmp_path / "absent", tmp_path / "state")


def test_a_damaged_checkpoint_is_told_not_guessed(tmp_path):
    """Starting anew in silence would count everything twice."""
    log, state = tmp_path / "log", tmp_path / "state"
    kumo = Kumo(log)
    kumo.write(rejection(1))
    kumo.close()
    settle(log, state)
    (path,) = state.glob("kumomta-log-*.json")
    path.write_text("{")
    with pytest.raises(Unavailable, match="is damaged; remove it to begin anew"):
        settle(log, state)


def test_behind_is_the_bytes_still_to_read(tmp_path):
    """An operator sees how far a source lags."""
    log = tmp_path / "log"
    kumo = Kumo(log)
    kumo.write(b"".join(map(rejection, range(100))))
    size = kumo.close().stat().st_size

    async def play() -> tuple[int, int]:
        heard = Heard(log, tmp_path / "state")
        batches = heard.source.batches()
        await anext(batches)
        done = heard.source.behind
        kumo.write(rejection(1))
        kumo.close()
        await anext(batches)
        await batches.aclose()
        return done, heard.source.behind

    assert asyncio.run(play()) == (0, 0)
    assert size > 0


COUNTER = """
import asyncio, sqlite3, sys
from pathlib import Path
from guard.sources.kumomta_log import KumomtaLog

async def main(log, state, database):
    store = sqlite3.connect(database, isolation_level=None)
    async for batch in KumomtaLog(Path(log), Path(state), poll=0.005).batches():
        store.execute("begin")
        store.executemany("insert or ignore into heard values (?, ?)",
                          [(event.id, int(event.time)) for event in batch])
        store.execute("commit")

asyncio.run(main(*sys.argv[1:]))
"""


def test_a_segment_that_a_listing_misses_is_not_passed_over(tmp_path, monkeypatch):
    """A folder that is listed while segments are made may show the last but not the one before."""
    log = tmp_path / "log"
    log.mkdir()
    names = [f"20260101-00000{number}" for number in (1, 2, 3)]

    def segment(number):
        path = log / names[number]
        path.write_bytes(zstandard.compress(rejection(number)))
        path.chmod(0o444)

    segment(0)
    listed = []
    scan = os.scandir

    class Torn:
        """The first listing in which two segments are made; it shows only the later one."""

        def __init__(self, folder):
            segment(1)
            segment(2)
            self.entries = [entry for entry in scan(folder) if entry.name != names[1]]

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *_):
            pass

    def scandir(folder):
        listed.append(folder)
        return Torn(folder) if len(listed) == 1 else scan(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    assert listen(log, tmp_path / "state", 3).numbers == [0, 1, 2]
    assert len(listed) > 1


def test_kills_on_both_sides_and_rotation_lose_and_double_nothing(tmp_path):
    """Writer and reader are killed again and again; each record on disk is counted exactly once."""
    log, state, database = tmp_path / "log", tmp_path / "state", tmp_path / "heard.db"
    log.mkdir()
    with closing(sqlite3.connect(database)) as store:
        store.execute("create table heard (id text primary key, number integer)")
    here = Path(__file__).parent
    reader_command = [sys.executable, "-c", COUNTER, str(log), str(state), str(database)]
    total, step = 60_000, 10_000
    reader = subprocess.Popen(reader_command)
    try:
        for first in range(0, total, step):
            last = min(first + step, total)
            command = [sys.executable, str(here / "kumo.py"), str(log)]
            writer = subprocess.Popen(
                [*command, str(first), str(last), "3000"], stdout=subprocess.PIPE
            )
            with writer:
                if first // step % 2:  # killed in the middle of a segment
                    writer.stdout.readline()
                    writer.send_signal(signal.SIGKILL)
                writer.wait()
            reader.send_signal(signal.SIGKILL)
            reader.wait()
            reader = subprocess.Popen(reader_command)
        Kumo(log)  # a last start-up ends what the killed writers left
        expected = Counter(
            record["timestamp"] for path in sorted(log.iterdir()) for record in readable(path)
        )
        deadline = time.monotonic() + 30
        with closing(sqlite3.connect(database)) as store:
            while time.monotonic() < deadline:
                (count,) = store.execute("select count(*) from heard").fetchone()
                if count >= expected.total():
                    break
                time.sleep(0.05)
            numbers = Counter(row[0] for row in store.execute("select number from heard"))
    finally:
        reader.kill()
        reader.wait()
    assert numbers == expected
    assert set(expected.values()) == {1}
    assert total / 2 < expected.total() < total
    (checkpoint,) = state.glob("kumomta-log-*.json")
    assert json.loads(checkpoint.read_text())


def test_an_orderly_end_saves_the_place_of_what_was_counted(tmp_path):
    """Told to finish while a batch is counted, it ends after that batch, and repeats nothing."""
    log, state = tmp_path / "log", tmp_path / "state"
    kumo = Kumo(log)
    kumo.write(b"".join(map(rejection, range(50))))
    kumo.close()

    async def play() -> list[int]:
        heard = Heard(log, state)
        async for batch in heard.source.batches():
            heard.source.finish()
            heard.numbers += [int(event.time) - AT for event in batch]
        return heard.numbers

    assert asyncio.run(play()) == list(range(50))
    assert settle(log, state).numbers == []


def test_what_cannot_be_read_is_counted_for_the_status(tmp_path):
    """Lines of a `template`, over several segments; records beside them are heard."""
    kumo = Kumo(tmp_path / "log")
    for number in range(3):
        kumo.write(b"550,192.0.2.1,relaying not permitted\n" * 2 + rejection(number))
        kumo.close()
    source = KumomtaLog(tmp_path / "log", tmp_path / "state", look_back=1e12, poll=0.01)

    async def play() -> None:
        heard = 0
        async with aclosing(source.batches()) as batches, asyncio.timeout(20):
            async for batch in batches:
                heard += len(batch)
                if heard == 3:
                    source.finish()
        assert heard == 3

    asyncio.run(play())
    assert source.tell() == {"behind": 0, "faults": 6}
