"""What was received is on disk before its sender hears so, and is never kept twice."""

import asyncio
import os
from pathlib import Path

import pytest

from guard.roles import Unavailable
from guard.sources.inbox import Inbox

NOW = 1_757_675_281.0


def record(number: int, precise: bool = True) -> bytes:
    """A record, with or without the nanoseconds that make it unique."""
    time = b',"event_time":"2025-09-12T11:08:01.440526026Z"' if precise else b""
    return b'{"type":"Rejection","n":%d%s}' % (number, time)


def kept(folder: Path) -> list[bytes]:
    """All lines on disk."""
    return [line for path in sorted(folder.iterdir()) for line in path.read_bytes().splitlines()]


def put(inbox: Inbox, *batches: list[bytes], now: float = NOW) -> list[int]:
    """Puts all batches at once and returns how many of each were new."""

    async def play() -> list[int]:
        return await asyncio.gather(*(inbox.put(batch, now) for batch in batches))

    return asyncio.run(play())


def test_records_are_on_disk_when_put_returns(tmp_path):
    """Batches that come together share a write; each is whole, in order."""
    inbox = Inbox(tmp_path / "in")
    inbox.open(NOW)
    batches = [[record(10 * i + j) for j in range(3)] for i in range(20)]
    assert put(inbox, *batches) == [3] * 20
    assert kept(tmp_path / "in") == [line for batch in batches for line in batch]
    inbox.close()


def test_what_is_sent_again_is_recognised(tmp_path):
    """In one body, in the same moment, later, and after a restart."""
    inbox = Inbox(tmp_path)
    inbox.open(NOW)
    assert put(inbox, [record(1), record(1)], [record(1)], [record(1), record(2)]) == [1, 0, 1]
    assert put(inbox, [record(1)], now=NOW + 60) == [0]
    inbox.close()
    again = Inbox(tmp_path)
    again.open(tmp_path.stat().st_mtime + 60)
    assert put(again, [record(2), record(3)]) == [1]
    again.close()
    assert kept(tmp_path) == [record(1), record(2), record(3)]


def test_old_records_of_one_second_are_not_mistaken_for_one(tmp_path):
    """Without nanoseconds two may be alike; only one that comes after a while is a retry."""
    inbox = Inbox(tmp_path)
    inbox.open(NOW)
    assert put(inbox, [record(1, precise=False)] * 3) == [3]
    assert put(inbox, [record(1, precise=False)], now=NOW + 60) == [0]
    inbox.close()


def test_segments_rotate_and_go_when_they_were_read(tmp_path):
    """A full segment is read-only; one that was read goes after an hour, the last never."""
    inbox = Inbox(tmp_path, segment=100)
    inbox.open(NOW)
    for number in range(4):
        put(inbox, [record(number), record(number + 100)], now=NOW + number)
    paths = sorted(tmp_path.iterdir())
    assert [path.stat().st_mode & 0o222 for path in paths] == [0, 0, 0, 0]
    for path in paths[:3]:
        os.utime(path, (NOW, NOW))
    inbox.trim(paths[1].name, NOW + 1000)
    assert sorted(tmp_path.iterdir()) == paths
    inbox.trim(paths[1].name, NOW + 4000)
    assert sorted(tmp_path.iterdir()) == paths[1:]
    inbox.close()


def test_names_follow_one_another_whatever_the_clock_does(tmp_path):
    """A clock that goes back, or a restart, never makes a segment that nobody reads."""
    inbox = Inbox(tmp_path, segment=1)
    inbox.open(NOW)
    names = []
    for now in (NOW, NOW - 9999, NOW - 9999, NOW + 1):
        put(inbox, [record(len(names))], now=now)
        names.append(max(path.name for path in tmp_path.iterdir()))
    other = Inbox(tmp_path, segment=1)
    other.open(NOW)
    put(other, [record(9)], now=NOW - 5000)
    names.append(max(path.name for path in tmp_path.iterdir()))
    assert names == sorted(set(names))


def test_a_disk_that_takes_nothing_is_told_and_nothing_is_believed_kept(tmp_path, monkeypatch):
    """The sender hears of it, and the same record is new when it comes again."""
    inbox = Inbox(tmp_path)
    inbox.open(NOW)
    put(inbox, [record(1)])
    real, calls = os.write, []

    def full(file: int, data: memoryview) -> int:
        calls.append(len(data))
        if len(calls) == 1:
            return real(file, data[:5])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(Unavailable, match="No space left on device"):
        put(inbox, [record(2)])
    monkeypatch.undo()
    assert put(inbox, [record(2)]) == [1]
    inbox.close()
    assert kept(tmp_path) == [record(1), record(2)[:5], record(2)]
