"""What FileSpool said it kept, it keeps, whatever happens in between."""

import gc
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from spool_crash_child import body

from guard.mail import spool as spool_module
from guard.mail.spool import FileSpool, new_id
from guard.roles import Refused, Unavailable

HERE = Path(__file__).parent
STEPS = [
    "created",
    "half written",
    "written",
    "flushed",
    "synced",
    "renamed",
    "folder synced",
    "committed",
]


def start(folder: Path, step: str, count: int) -> subprocess.Popen[str]:
    """A process that receives `count` messages and dies at `step` of the last."""
    return subprocess.Popen(
        [sys.executable, str(HERE / "spool_crash_child.py"), str(folder), step, str(count)],
        stdout=subprocess.PIPE,
        text=True,
    )


def check_whole(spool: FileSpool, promised: set[str]) -> None:
    """Every promised message is in the spool, every message there is whole, nothing else is."""
    found = {path.name: path.read_bytes() for path in spool.new.iterdir()}
    assert promised <= found.keys()
    for name, data in found.items():
        line, message = data.split(b"\n", 1)
        envelope = json.loads(line)
        assert envelope["id"] == name
        assert envelope["recipients"] == ["r@example.net"]
        assert message == body(int(envelope["meta"]["number"]))
    assert not list(spool.tmp.iterdir())


@pytest.mark.parametrize("step", STEPS)
def test_death_at_any_step_loses_nothing_promised(tmp_path: Path, step: str):
    """A process that ends between two steps leaves whole messages and removable leftovers."""
    with start(tmp_path, step, 3) as child:
        promised = set(child.stdout.read().split())
    assert child.returncode == 9
    assert len(promised) == 2
    spool = FileSpool(tmp_path)
    spool.open()
    check_whole(spool, promised)
    kept = len(list(spool.new.iterdir()))
    assert kept == 2 + (step in ("renamed", "folder synced", "committed"))


def test_kill_at_any_moment_loses_nothing_promised(tmp_path: Path):
    """SIGKILL in full flight, several times over the same spool."""
    promised: set[str] = set()
    spool = FileSpool(tmp_path)
    for round_ in range(4):
        with start(tmp_path, "", 100_000) as child:
            promised.add(child.stdout.readline().strip())
            time.sleep(0.03 * round_)  # where in its work the kill finds it is up to chance
            child.send_signal(signal.SIGKILL)
            promised |= set(child.stdout.read().split())
        spool.open()
        check_whole(spool, promised)
    assert len(promised) >= 4


def test_the_order_of_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """File before name, name before folder: each is durable before the next begins."""
    seen = []
    real_fsync, real_rename = os.fsync, Path.rename

    def fsync(descriptor: int) -> None:
        seen.append("fsync " + Path(f"/proc/self/fd/{descriptor}").readlink().parts[-2])
        real_fsync(descriptor)

    def rename(self: Path, target: Path) -> Path:
        seen.append("rename")
        return real_rename(self, target)

    spool = FileSpool(tmp_path / "s")
    spool.open()
    message = spool.create("a@example.com", ["b@example.net"], {})
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", rename)
    message.commit()
    assert seen == ["fsync tmp", "rename", "fsync s"]


def test_file_is_envelope_then_bytes(tmp_path: Path):
    """The format of docs/mail.md: one line of JSON, then exactly what was written."""
    spool = FileSpool(tmp_path / "deep" / "spool", clock=lambda: 1757675281.5)
    spool.open()
    message = spool.create("ü@exämple.com", ["a@b.c", "d@e.f"], {"ehlo": "x\ny"})
    for part in (b"one\r\n", b"", b"\x00\xff", b"z" * 200_000):
        message.write(part)
    id_ = message.commit()
    assert id_ == message.id
    assert len(id_) == 32
    line, data = (spool.new / id_).read_bytes().split(b"\n", 1)
    assert json.loads(line) == {
        "id": id_,
        "sender": "ü@exämple.com",
        "recipients": ["a@b.c", "d@e.f"],
        "meta": {"ehlo": "x\ny"},
        "created": 1757675281.5,
    }
    assert data == b"one\r\n\x00\xff" + b"z" * 200_000
    assert (spool.new / id_).stat().st_mode & 0o777 == 0o600
    assert spool.new.stat().st_mode & 0o777 == 0o700


def test_ids_sort_by_time_and_do_not_repeat():
    """An id is 32 hex digits; a later millisecond sorts later."""
    early = {new_id(1757675281.001) for _ in range(1000)}
    late = {new_id(1757675281.002) for _ in range(1000)}
    assert len(early) == len(late) == 1000
    assert max(early) < min(late)
    assert all(len(i) == 32 and int(i, 16) >= 0 for i in early)


def test_abort_and_oblivion_leave_nothing(tmp_path: Path):
    """A message that was aborted, or that nobody holds any more, is gone; abort may repeat."""
    spool = FileSpool(tmp_path)
    spool.open()
    message = spool.create("", ["b@example.net"], {})
    message.write(b"x" * 100_000)
    message.abort()
    message.abort()
    with pytest.raises(Unavailable):
        message.write(b"more")
    with pytest.raises(Unavailable):
        message.commit()
    forgotten = spool.create("", ["b@example.net"], {})
    del forgotten
    gc.collect()
    assert not list(spool.tmp.iterdir())
    assert not list(spool.new.iterdir())


def test_abort_after_commit_keeps_the_message(tmp_path: Path):
    """`finally: message.abort()` is safe."""
    spool = FileSpool(tmp_path)
    spool.open()
    message = spool.create("", ["b@example.net"], {})
    id_ = message.commit()
    message.abort()
    assert [path.name for path in spool.new.iterdir()] == [id_]


def test_open_spares_what_another_process_receives(tmp_path: Path):
    """Opening removes leftovers, never a message that somebody is receiving."""
    first = FileSpool(tmp_path)
    first.open()
    message = first.create("", ["b@example.net"], {})
    message.write(b"half")
    (first.tmp / "leftover").write_bytes(b"{")
    (first.tmp / "folder").mkdir()
    # flock is of the open file, so that a second spool here is as good as a second process.
    FileSpool(tmp_path).open()
    assert {path.name for path in first.tmp.iterdir()} == {message.id, "folder"}
    assert message.commit() == message.id


def test_a_leftover_hunter_may_win_the_race_for_a_new_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A file removed between its creation and its lock is made again."""
    spool = FileSpool(tmp_path)
    spool.open()
    real, calls = spool_module.fcntl.flock, []

    def flock(descriptor: int, how: int) -> None:
        if not calls:
            for path in spool.tmp.iterdir():
                path.unlink()
        calls.append(how)
        real(descriptor, how)

    monkeypatch.setattr(spool_module.fcntl, "flock", flock)
    message = spool.create("", ["b@example.net"], {})
    assert len(calls) == 2
    assert (spool.new / message.commit()).exists()


@pytest.mark.parametrize("broken", ["fsync", "write"])
def test_a_disk_that_fails_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
):
    """An error of the disk is Unavailable, and no half message is ever delivered."""
    spool = FileSpool(tmp_path)
    spool.open()
    message = spool.create("", ["b@example.net"], {})

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, broken, fail)
    with pytest.raises(Unavailable, match="Input/output error"):
        message.commit()
    monkeypatch.undo()
    assert not list(spool.new.iterdir())
    assert not list(spool.tmp.iterdir())


def test_a_folder_that_cannot_be_synced_takes_the_message_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A failure after the rename un-names the message: the sender will come again."""
    spool = FileSpool(tmp_path)
    spool.open()
    message = spool.create("", ["b@example.net"], {})

    def fail(_: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(spool_module, "sync_folder", fail)
    with pytest.raises(Unavailable):
        message.commit()
    assert not list(spool.new.iterdir())


@pytest.mark.root
def test_full_and_read_only_disks(tmp_path: Path):
    """On a real small file system: full is Unavailable and passes, read-only says so."""
    done = subprocess.run(
        ["unshare", "-m", sys.executable, str(HERE / "full_disk_child.py"), str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert not done.stderr
    assert done.stdout.splitlines() == [
        "full",
        "given-up",
        "tmp 0 new 1",
        "works-again",
        "unavailable",
        "refused",
    ]


def test_new_folders_are_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Each folder that is made is synced into the one above it, and none twice."""
    seen = []
    real = spool_module.sync_folder
    monkeypatch.setattr(
        spool_module, "sync_folder", lambda path: (seen.append(path.name), real(path))
    )
    spool = FileSpool(tmp_path / "state" / "spool")
    spool.open()
    assert seen == [tmp_path.name, "state", "spool", "spool"]
    spool.open()
    assert len(seen) == 4


def test_a_place_that_cannot_be_is_refused(tmp_path: Path):
    """A file where the folder should be is the operator's to mend."""
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match=r"file/spool: Not a directory"):
        FileSpool(tmp_path / "file" / "spool").open()


def test_a_folder_that_went_away_is_unavailable(tmp_path: Path):
    """The listener answers 4xx; it does not die."""
    with pytest.raises(Unavailable, match="No such file"):
        FileSpool(tmp_path / "gone").create("", ["b@example.net"], {})


def test_an_envelope_that_is_not_text_is_refused(tmp_path: Path):
    """A lone surrogate (bytes that were no UTF-8) has no place in JSON."""
    spool = FileSpool(tmp_path)
    spool.open()
    with pytest.raises(Refused, match="not text"):
        spool.create("\udcff@example.com", ["b@example.net"], {})
    assert not list(spool.tmp.iterdir())
