"""The journal: a real journald, its cursor kept, its matches honoured."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from support import need

from guard.filters.textfilter import Filter
from guard.roles import Refused, Unavailable
from guard.sources.journal import Journal

JOURNALD = Path("/lib/systemd/systemd-journald")


class Journald:
    """A journald of our own: its sockets and files are in `folder`, in a mount namespace."""

    def __init__(self, folder: Path) -> None:
        self.run, self.logs = folder / "run", folder / "logs"
        for path in (self.run / "systemd" / "journal", self.run / "log" / "journal", self.logs):
            path.mkdir(parents=True)
        script = (
            'mount --bind "$1" /run && mount --bind "$2" /run/log/journal && '
            "if ! [ -s /etc/machine-id ]; then "
            "echo 0123456789abcdef0123456789abcdef >/run/machine-id && "
            "mount --bind /run/machine-id /etc/machine-id; fi && "
            f"exec {JOURNALD}"
        )
        command = ["unshare", "-m", "sh", "-c", script, "sh", str(self.run), str(self.logs)]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        self.socket = self.run / "systemd" / "journal" / "socket"
        deadline = time.monotonic() + 10
        while not (self.socket.exists() and list(self.logs.glob("*/*.journal"))):
            assert time.monotonic() < deadline, "journald did not start"
            assert self.process.poll() is None, "journald ended"
            time.sleep(0.02)

    def write(self, message: str, program: str = "exim4") -> None:
        """An entry, as a service would write it."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(str(self.socket))
            sender.send(f"MESSAGE={message}\nSYSLOG_IDENTIFIER={program}\n".encode())

    def stop(self) -> None:
        """Ends it in order."""
        self.process.terminate()
        self.process.wait()


@pytest.fixture
def journald(tmp_path):
    """A real journald."""
    need(bool(shutil.which("journalctl")) and JOURNALD.exists(), "systemd")
    made = Journald(tmp_path)
    yield made
    made.stop()


def source(journald: Journald, state: Path, match: str = "") -> Journal:
    """A source that reads the journal of the test."""
    filter_ = Filter("exim", [r"^\s*\S+ exim4\[\d+\]: refused <ADDR>$"])
    return Journal(filter_, state, match=match, folder=journald.logs)


async def hear(made: Journal, count: int, more: float = 0.0) -> list:
    """The first `count` events, and what else comes in `more` seconds."""
    heard: list = []
    try:
        async with asyncio.timeout(10) as limit:
            async for batch in made.batches():
                heard += batch
                if len(heard) >= count:
                    limit.reschedule(asyncio.get_running_loop().time() + more)
    except TimeoutError:
        pass
    return heard


@pytest.mark.root
def test_entries_are_heard_once_across_restarts(journald, tmp_path):
    """What was there, what comes, and after a restart only what came meanwhile, with its time."""
    state = tmp_path / "state"
    for number in range(3):
        journald.write(f"refused 192.0.2.{number}")
    journald.write("refused 192.0.2.99", program="other")
    heard = asyncio.run(hear(source(journald, state), 3, more=0.5))
    assert [event.address for event in heard] == [f"192.0.2.{number}" for number in range(3)]
    assert all(abs(event.time - time.time()) < 30 for event in heard)
    assert len({event.id for event in heard}) == 3
    journald.write("refused 192.0.2.50")
    heard = asyncio.run(hear(source(journald, state), 1, more=0.5))
    assert [event.address for event in heard] == ["192.0.2.50"]


@pytest.mark.root
def test_journalmatch_selects_by_field(journald, tmp_path):
    """Words of journalctl: FIELD=VALUE, and + for or."""
    journald.write("refused 192.0.2.1")
    match = f"_UID={os.getuid() + 1} + _TRANSPORT=journal"
    assert len(asyncio.run(hear(source(journald, tmp_path / "a", match), 1))) == 1
    nobody = source(journald, tmp_path / "b", "_UID=4294900000")
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(anext(nobody.batches()), 1))


@pytest.mark.root
def test_a_cursor_that_the_journal_forgot(journald, tmp_path):
    """The journal was removed meanwhile: it goes on by time after one failure."""
    state = tmp_path / "state"
    journald.write("refused 192.0.2.1")
    asyncio.run(hear(source(journald, state), 1, more=0.3))
    (path,) = state.glob("journal-*.json")
    path.write_text(json.dumps({"": {"cursor": "nonsense", "time": time.time() - 5}}))
    with pytest.raises(Unavailable, match="cursor"):
        asyncio.run(asyncio.wait_for(anext(source(journald, state).batches()), 5))
    assert len(asyncio.run(hear(source(journald, state), 1, more=0.3))) == 1


@pytest.mark.root
def test_an_orderly_end_saves_the_cursor(journald, tmp_path):
    """Told to finish, it ends without an error and without hearing twice."""
    journald.write("refused 192.0.2.1")

    async def play() -> int:
        made = source(journald, tmp_path / "state")
        heard = 0
        async with asyncio.timeout(10):
            async for batch in made.batches():
                heard += len(batch)
                asyncio.get_running_loop().call_later(0.2, made.finish)
        return heard

    assert asyncio.run(play()) == 1
    journald.write("refused 192.0.2.2")
    heard = asyncio.run(hear(source(journald, tmp_path / "state"), 1, more=0.3))
    assert [event.address for event in heard] == ["192.0.2.2"]


@pytest.mark.parametrize("match", ["--file=/etc/shadow", "'", "x=1", "_UID", "-f"])
def test_a_match_cannot_be_an_option(tmp_path, match):
    """What a filter file says becomes words of journalctl, never its options."""
    with pytest.raises(Refused, match="journalmatch"):
        Journal(Filter("x", ["<HOST>"]), tmp_path, match=match)


def test_a_machine_without_journalctl(tmp_path, monkeypatch):
    """The operator hears what is missing."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refused, match="journalctl: No such file"):
        asyncio.run(anext(Journal(Filter("x", ["<HOST>"]), tmp_path).batches()))
