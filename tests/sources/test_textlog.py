"""Text logs live: heard at once, by pattern, through real logrotate and kills, each line once."""

import asyncio
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

from kumo import AT, rejection
from support import need

from guard.events import Rejection
from guard.filters.textfilter import Filter
from guard.lib.clock import now
from guard.sources.recordlines import hear
from guard.sources.tally import TOO_LONG, Tally
from guard.sources.textlines import NO_ADDRESS, TextHear
from guard.sources.textlog import TextLog


def source(path: Path, state: Path, **more) -> TextLog:
    """A source of records in plain lines."""
    return TextLog(path, state, lambda: hear, **more)


async def listen(made: TextLog, count: int, first: asyncio.Event | None = None) -> list[int]:
    """The numbers of the first `count` events."""
    heard: list[int] = []
    async with asyncio.timeout(20):
        batches = made.batches()
        async for batch in batches:
            heard += [int(event.time) - AT for event in batch]
            if first is not None:
                first.set()
            if len(heard) >= count:
                break
        await batches.aclose()
    return heard


def test_a_line_is_heard_at_once(tmp_path):
    """The kernel tells of a change, long before the next look."""
    path = tmp_path / "mail.log"
    path.write_bytes(rejection(1))

    async def play() -> tuple[list[int], float]:
        first, loop = asyncio.Event(), asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(listen(source(path, tmp_path, poll=15), 2, first))
            await first.wait()
            await asyncio.sleep(0.3)
            begin = loop.time()
            with path.open("ab") as file:
                file.write(rejection(2))
        return task.result(), loop.time() - begin

    heard, seconds = asyncio.run(play())
    assert heard == [1, 2]
    assert seconds < 5


def test_without_notification_it_looks_every_so_often(tmp_path, monkeypatch, caplog):
    """A network file system, or a kernel out of watches, is no obstacle."""
    path = tmp_path / "mail.log"
    path.write_bytes(rejection(1))

    def refuse(*_: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    async def play() -> list[int]:
        first = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(listen(source(path, tmp_path, poll=0.05), 2, first))
            await first.wait()
            await asyncio.sleep(0.2)
            with path.open("ab") as file:
                file.write(rejection(2))
        return task.result()

    monkeypatch.setattr("guard.lib.inotify.add", refuse)
    assert asyncio.run(play()) == [1, 2]
    assert "inotify watch limit reached" in caplog.text


def test_a_pattern_finds_logs_that_come_later(tmp_path):
    """Each file is followed by itself; one that appears is read from its start."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mail.log").write_bytes(rejection(ord(name)))

    async def play() -> list[int]:
        first = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            made = source(tmp_path / "*" / "mail.log", tmp_path / "state", poll=0.05)
            task = group.create_task(listen(made, 3, first))
            await first.wait()
            (tmp_path / "c").mkdir()
            (tmp_path / "c" / "mail.log").write_bytes(rejection(ord("c")))
        return task.result()

    assert sorted(asyncio.run(play())) == [97, 98, 99]


def test_a_log_that_grows_faster_is_read_in_bounded_batches(tmp_path):
    """However much waits, a batch is bounded, and the lag is shown."""
    path = tmp_path / "mail.log"
    path.write_bytes(b"".join(map(rejection, range(30_000))))

    async def play() -> tuple[list[int], int, int]:
        made, sizes = source(path, tmp_path), []
        batches = made.batches()
        sizes.append(len(await anext(batches)))
        behind = made.behind
        while sum(sizes) < 30_000:
            sizes.append(len(await anext(batches)))
        await batches.aclose()
        return sizes, behind, max(sizes)

    sizes, behind, largest = asyncio.run(play())
    assert largest < 5000
    assert behind > path.stat().st_size / 2
    assert sum(sizes) == 30_000


FAILREGEX = r"^\s*refused <ADDR>$"


def test_a_filter_finds_address_and_time_in_each_line():
    """Catching up, a line counts at its own time; names are no addresses; long lines are told."""
    made = TextHear(
        Filter("mail", [FAILREGEX, r"^\s*bad name <HOST>$"], datepattern="^{EPOCH}"), now
    )
    tally = Tally()
    events = made(
        [
            b"1700000000 refused 192.0.2.1\nnothing\n1700000007 refused ::ffff:192.0.2.2\n",
            None,
            b"1700000008 bad name trap.example.com\n\xff\xfe\n1700000009 refused 2001:DB8::1\n",
        ],
        tally,
        "log#1",
        ids=True,
    )
    assert events == [
        Rejection(1700000000.0, "192.0.2.1", None, filter="mail", id="log#1:1"),
        Rejection(1700000007.0, "192.0.2.2", None, filter="mail", id="log#1:3"),
        Rejection(1700000009.0, "2001:db8::1", None, filter="mail", id="log#1:7"),
    ]
    assert tally.lines == 7
    assert {sort: found.first for sort, found in tally.faults.items()} == {
        TOO_LONG: "log#1:4",
        NO_ADDRESS: "log#1:5",
    }


COUNTER = """
import asyncio, sqlite3, sys
from pathlib import Path
from guard.sources.recordlines import hear
from guard.sources.textlog import TextLog

async def main(log, state, database):
    store = sqlite3.connect(database, isolation_level=None)
    source = TextLog(Path(log), Path(state), lambda: hear, poll=0.02, grace=1.0)
    async for batch in source.batches():
        store.execute("begin")
        store.executemany("insert or ignore into heard values (?, ?)",
                          [(event.id, int(event.time)) for event in batch])
        store.execute("commit")

asyncio.run(main(*sys.argv[1:]))
"""
WRITER = """
import sys
sys.path.insert(0, sys.argv[4])
from kumo import rejection
for number in range(int(sys.argv[2]), int(sys.argv[3]), 20):
    with open(sys.argv[1], "ab") as file:
        for n in range(number, number + 20):
            file.write(rejection(n))
"""


def arrived(database: Path, count: int) -> int:
    """How many were counted, once it is `count` or a time has passed."""
    deadline = time.monotonic() + 30
    with closing(sqlite3.connect(database)) as store:
        while True:
            (found,) = store.execute("select count(*) from heard").fetchone()
            if found >= count or time.monotonic() > deadline:
                return found
            time.sleep(0.05)


def test_real_logrotate_and_kills_lose_and_double_nothing(tmp_path):
    """logrotate renames and packs while lines are written and the reader is killed."""
    need(bool(shutil.which("logrotate")), "logrotate")
    log, state, database = tmp_path / "mail.log", tmp_path / "state", tmp_path / "heard.db"
    log.write_bytes(rejection(-1))
    tmp_path.chmod(0o755)
    config = tmp_path / "rotate.conf"
    config.write_text(
        f"{log} {{\n  rotate 99\n  create\n  compress\n  delaycompress\n  ifempty\n}}\n"
    )
    config.chmod(0o644)
    with closing(sqlite3.connect(database)) as store:
        store.execute("create table heard (id text primary key, number integer)")
    reader_command = [sys.executable, "-c", COUNTER, str(log), str(state), str(database)]
    here, total, step = str(Path(__file__).parent), 30_000, 3_000
    rotate = [shutil.which("logrotate") or "", "-f", "-s", str(tmp_path / "rotated"), str(config)]
    reader = subprocess.Popen(reader_command)
    try:
        assert arrived(database, 1) == 1
        for first in range(0, total, step):
            arguments = [str(log), str(first), str(first + step), here]
            with subprocess.Popen([sys.executable, "-c", WRITER, *arguments]) as writer:
                while writer.poll() is None:
                    subprocess.run(rotate, check=True)
                    time.sleep(0.05)
            if first // step % 3 == 1:
                reader.send_signal(signal.SIGKILL)
                reader.wait()
                subprocess.run(rotate, check=True)
                reader = subprocess.Popen(reader_command)
        arrived(database, total + 1)
        with closing(sqlite3.connect(database)) as store:
            numbers = Counter(row[0] - AT for row in store.execute("select number from heard"))
    finally:
        reader.kill()
        reader.wait()
    assert len(list(tmp_path.glob("mail.log.*"))) > 10
    assert numbers == Counter(range(-1, total))
