"""A writer and a source in a race: each of a million records is counted exactly once.

    python -m benchmarks.once --records 1000000 --seconds 30

A process writes numbered rejections as KumoMTA does: zstd without a flush, a new segment every
second, read-only when closed. Another follows and counts them by id in SQLite. Both are killed
every few seconds and started again. In the end every record that can be read in the segments has to
be counted once. (What a killed writer had not handed to the disk is lost, as with KumoMTA.)
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from random import Random
from typing import IO

import zstandard

from guard.sources.kumomta_log import KumomtaLog

AT = 1_700_000_000


def rejection(number: int) -> bytes:
    """A record, told by its time."""
    return (
        json.dumps(
            {
                "type": "Rejection",
                "response": {"code": 550, "content": f"relaying not permitted for x:{number}"},
                "peer_address": {"name": "user", "addr": f"11.0.{number % 99}.{number % 250 + 1}"},
                "timestamp": AT + number,
                "session_id": f"{number:032x}",
            }
        ).encode()
        + b"\n"
    )


class Segment:
    """One segment of the log."""

    def __init__(self, folder: Path) -> None:
        now = time.time_ns()
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now // 10**9))
        self.path = folder / f"{stamp}.{now % 10**9:09}"
        self.file: IO[bytes] = self.path.open("xb")
        self.packed = zstandard.ZstdCompressor().stream_writer(self.file, closefd=False)
        self.since = time.monotonic()

    def close(self) -> None:
        """Ends the frame, then the file."""
        self.packed.flush(zstandard.FLUSH_FRAME)
        self.file.close()
        self.path.chmod(0o444)


def write(folder: Path, first: int, last: int, rate: float) -> None:
    """The writer process: a new segment every second, at most `rate` records a second."""
    for old in folder.iterdir():
        old.chmod(0o444)
    segment, begin = Segment(folder), time.monotonic()
    for number in range(first, last):
        segment.packed.write(rejection(number))
        if number % 1000 == 0:
            (folder.parent / "written").write_text(str(number))
            time.sleep(max(0.0, (number - first) / rate - (time.monotonic() - begin)))
            if time.monotonic() > segment.since + 1:
                segment.close()
                segment = Segment(folder)
    segment.close()
    (folder.parent / "written").write_text(str(last))


async def count(folder: Path) -> None:
    """The counting process. The ids are what makes counting twice impossible."""
    store = sqlite3.connect(folder.parent / "heard.db", isolation_level=None)
    source = KumomtaLog(folder, folder.parent / "state", poll=0.05)
    async for batch in source.batches():
        store.execute("begin")
        store.executemany(
            "insert or ignore into heard values (?, ?)",
            [(getattr(event, "id", ""), int(event.time) - AT) for event in batch],
        )
        store.execute("commit")


def readable(path: Path) -> list[int]:
    """The numbers of the whole records of a segment, by an independent reading."""
    data = zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes())
    *lines, last = data.split(b"\n")
    if last.endswith(b"}"):  # all of a record but its line end
        lines.append(last)
    return [json.loads(line)["timestamp"] - AT for line in lines]


def race(home: Path, records: int, seconds: float) -> int:
    """Runs both until all is written; returns 0 when each was counted once."""
    folder, rng, kills = home / "log", Random(7), 0
    folder.mkdir()
    (home / "written").write_text("0")
    with closing(sqlite3.connect(home / "heard.db")) as store:
        store.execute("create table heard (id text primary key, number integer)")
    command = [sys.executable, "-m", "benchmarks.once", "--folder", str(folder)]
    reader = subprocess.Popen([*command, "--count"])
    begin = time.monotonic()
    try:
        while (first := int((home / "written").read_text() or 0)) < records:
            rate = str(records / seconds)
            arguments = ["--first", str(first), "--records", str(records), "--rate", rate]
            with subprocess.Popen([*command, *arguments]) as writer:
                pause = time.monotonic() + rng.uniform(2, 6)
                while writer.poll() is None and time.monotonic() < pause:
                    time.sleep(0.05)
                if writer.poll() is None:
                    writer.kill()
                    kills += 1
            if rng.random() < 0.7:
                reader.kill()
                reader.wait()
                kills += 1
                reader = subprocess.Popen([*command, "--count"])
        for path in folder.iterdir():
            path.chmod(0o444)
        expected = Counter(number for path in sorted(folder.iterdir()) for number in readable(path))
        deadline = time.monotonic() + 120
        with closing(sqlite3.connect(home / "heard.db")) as store:
            total = 0
            while total < expected.total() and time.monotonic() < deadline:
                time.sleep(0.2)
                (total,) = store.execute("select count(*) from heard").fetchone()
            took = time.monotonic() - begin
            found = Counter(number for (number,) in store.execute("select number from heard"))
    finally:
        reader.kill()
        reader.wait()
    segments = len(list(folder.iterdir()))
    print(f"{expected.total()} records on disk in {segments} segments, {kills} kills, {took:.0f} s")
    lost, doubled = expected - found, found - expected
    print(f"counted {found.total()}: {lost.total()} lost, {doubled.total()} too many")
    return 1 if lost or doubled else 0


def main() -> int:
    """The command line, of all three processes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.once", description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--rate", type=float, default=1e5, help=argparse.SUPPRESS)
    parser.add_argument("--count", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.folder is None:
        with tempfile.TemporaryDirectory(prefix="guard-once-") as home:
            return race(Path(home), chosen.records, chosen.seconds)
    if chosen.count:
        asyncio.run(count(chosen.folder))
    else:
        write(chosen.folder, chosen.first, chosen.records, chosen.rate)
    return 0


if __name__ == "__main__":
    sys.exit(main())
