"""The record log takes what comes, follows rotation, and never stops the mail."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from guard.mail.recordlog import RecordLog
from guard.records import PeerAddress, Record, Response


def record(content: str = "x") -> Record:
    """A rejection."""
    return Record(
        type="Rejection",
        response=Response(550, None, content),
        peer_address=PeerAddress("", "192.0.2.1"),
        timestamp=1757675281,
        event_time="2025-09-12T11:08:01.440526026Z",
        created=1757675281,
        created_time="2025-09-12T11:08:01.440526026Z",
        nodeid="n",
        session_id="s",
    )


class Clock:
    """A clock that the test turns."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def contents(path: Path) -> list[str]:
    """What the records in `path` say; every line must be one."""
    text = path.read_text()
    assert text.endswith("\n")
    return [json.loads(line)["response"]["content"] for line in text.splitlines()]


@pytest.fixture
def clock() -> Clock:
    """A clock of this test."""
    return Clock()


@pytest.fixture
def records(tmp_path: Path, clock: Clock):
    """A log in a folder that is not there yet."""
    made = RecordLog(tmp_path / "log" / "guard" / "records.jsonl", clock)
    yield made
    made.close()


def test_lines_are_there_at_once(records: RecordLog):
    """A record is a whole line on disk when put returns; group may read, others not."""
    for content in ("a", "ü\u2028", "c\nd"):
        records.put(record(content))
    assert contents(records.path) == ["a", "ü\u2028", "c\nd"]
    assert records.path.read_bytes().isascii()
    assert records.path.stat().st_mode & 0o777 & ~0o640 == 0
    assert (records.written, records.dropped) == (3, 0)


def test_appends_to_what_is_there(records: RecordLog, clock: Clock):
    """A restart goes on in the same file, on a line of its own after a torn one."""
    records.put(record("a"))
    records.close()
    with records.path.open("ab") as file:
        file.write(b'{"type":"Rej')
    again = RecordLog(records.path, clock)
    again.put(record("b"))
    again.put(record("c"))
    again.close()
    first, torn, *rest = records.path.read_text().splitlines()
    assert torn == '{"type":"Rej'
    assert [json.loads(line)["response"]["content"] for line in (first, *rest)] == ["a", "b", "c"]


@pytest.mark.parametrize("how", ["rename", "remove"])
def test_follows_rotation_by_itself(records: RecordLog, clock: Clock, how: str):
    """logrotate may move or remove the file; within a second the new one is written."""
    records.put(record("a"))
    old = records.path.with_suffix(".1")
    if how == "rename":
        records.path.rename(old)
    else:
        records.path.unlink()
    clock.now += 1
    records.put(record("b"))
    assert contents(records.path) == ["b"]
    if how == "rename":
        assert contents(old) == ["a"]


def test_follows_copytruncate(records: RecordLog):
    """After truncation the next record is the first line, without a hole before it."""
    records.put(record("a"))
    os.truncate(records.path, 0)
    records.put(record("b"))
    assert contents(records.path) == ["b"]


def test_a_clock_set_back_does_not_stop_it(records: RecordLog, clock: Clock):
    """Rotation is seen also when the machine's clock went back an hour."""
    records.put(record("a"))
    records.path.unlink()
    clock.now -= 3600
    records.put(record("b"))
    assert contents(records.path) == ["b"]


def test_loss_is_counted_and_said_once(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
):
    """A place that cannot be written costs records, not the mail; recovery is said too."""
    caplog.set_level(logging.INFO)
    (tmp_path / "log").write_text("a file where the folder should be")
    records = RecordLog(tmp_path / "log" / "records.jsonl", clock)
    for _ in range(5):
        records.put(record())
        clock.now += 1
    assert records.dropped == 5
    assert len(caplog.records) == 1
    assert "lost until it works again" in caplog.text
    (tmp_path / "log").unlink()
    records.put(record("back"))
    records.close()
    assert contents(records.path) == ["back"]
    assert "5 were lost" in caplog.text
    assert (records.written, records.dropped) == (1, 5)


def test_a_record_that_is_not_text_is_dropped(records: RecordLog):
    """A lone surrogate has no place in JSON; the next record is not harmed."""
    records.put(record("\udcff"))
    records.put(record("fine"))
    assert contents(records.path) == ["fine"]
    assert records.dropped == 1


def test_a_fifo_without_reader_holds_nobody_up(tmp_path: Path, clock: Clock):
    """A reader that is slow or gone loses records; put returns."""
    os.mkfifo(tmp_path / "pipe")
    records = RecordLog(tmp_path / "pipe", clock)
    for _ in range(2000):
        records.put(record("x" * 100))
    assert records.dropped > 0
    assert records.written + records.dropped == 2000
    records.close()


def test_two_processes_share_a_file(tmp_path: Path):
    """Lines of several writers do not mix."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from test_recordlog import record, RecordLog, Clock\nfrom pathlib import Path\n"
        "log = RecordLog(Path(sys.argv[1]), Clock())\n"
        "for i in range(2000): log.put(record('y' * 300))\nlog.close()\n"
    )
    path, here = tmp_path / "records.jsonl", str(Path(__file__).parent)
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), here]) for _ in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert contents(path) == ["y" * 300] * 6000


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_a_loss_not_an_error(clock: Clock):
    """/dev/full answers every write with ENOSPC, as a full disk does."""
    records = RecordLog(Path("/dev/full"), clock)
    records.put(record())
    assert (records.written, records.dropped) == (0, 1)
    records.close()
