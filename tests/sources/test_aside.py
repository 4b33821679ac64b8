"""Reading in another process gives what reading in this one gives, and says what went wrong."""

import os
import signal
import subprocess

import pytest
from kumo import rejection

from benchmarks import day
from guard.roles import BadInput, Unavailable
from guard.sources import aside
from guard.sources.aside import Aside, Task

FILTER = "[Definition]\nfailregex = ^\\s*refused <HOST>$\ndatepattern = ^{EPOCH}\n"


def test_the_same_events_tally_and_progress(tmp_path):
    """All sorts of records, faults and a foreign file: nothing differs but the process."""
    day.write(str(tmp_path / "day.zst"), records=3000, seed=5)
    (tmp_path / "bad").write_bytes(rejection(1) + b"junk\n" + rejection(2)[:30])
    (tmp_path / "picture").write_bytes(os.urandom(500))
    paths = tuple(str(tmp_path / name) for name in ("day.zst", "bad", "picture"))
    here, there = [], []
    reader = Task(paths).reader(here.append)
    other = Aside(Task(paths), there.append)
    assert [list(batch) for batch in other.batches()] == list(reader.batches())
    assert other.tally == reader.tally
    assert other.foreign == reader.foreign == [paths[2]]
    assert sum(there) == sum(here) == sum(os.stat(path).st_size for path in paths)  # noqa: PTH116


def test_text_logs_by_a_filter(tmp_path):
    """The filter is made in the other process."""
    (tmp_path / "mail.conf").write_text(FILTER)
    (tmp_path / "log").write_text("1700000000 refused 192.0.2.1\n" * 3)
    task = Task((str(tmp_path / "log"),), "mail", (str(tmp_path),))
    (batch,) = Aside(task).batches()
    assert [(event.filter, event.address) for event in batch] == [("mail", "192.0.2.1")] * 3


def test_what_cannot_be_read_is_told_in_words(tmp_path):
    """As in this process."""
    with pytest.raises(BadInput, match="absent: No such file"):
        list(Aside(Task((str(tmp_path / "absent"),))).batches())


def test_a_reader_that_dies_is_noticed(tmp_path, monkeypatch):
    """Nobody waits for ever, and nobody takes half a log for the whole."""
    (tmp_path / "log").write_bytes(b"".join(map(rejection, range(20_000))))
    started: list[subprocess.Popen] = []
    real = subprocess.Popen

    def start(*args, **more):
        started.append(real(*args, **more))
        return started[-1]

    monkeypatch.setattr(aside.subprocess, "Popen", start)
    batches = Aside(Task((str(tmp_path / "log"),))).batches()
    next(batches)
    started[0].send_signal(signal.SIGKILL)
    with pytest.raises(Unavailable, match="ended before"):
        list(batches)
    assert started[0].returncode == -signal.SIGKILL


def test_a_reader_that_is_not_needed_any_more_ends(tmp_path, monkeypatch):
    """Leaving in the middle leaves no process behind."""
    (tmp_path / "log").write_bytes(b"".join(map(rejection, range(20_000))))
    started: list[subprocess.Popen] = []
    real = subprocess.Popen

    def start(*args, **more):
        started.append(real(*args, **more))
        return started[-1]

    monkeypatch.setattr(aside.subprocess, "Popen", start)
    batches = Aside(Task((str(tmp_path / "log"),))).batches()
    next(batches)
    batches.close()
    assert started[0].returncode is not None
