"""The daemon's own order of things; what it runs as a whole is in the tests of services."""

import asyncio
import os
import signal
import threading
import time

import pytest

from guard import assemble
from guard.config import load
from guard.daemon import Daemon
from guard.events import Kind, Rejection
from guard.lib.networks import parse_network as net
from guard.parts import Chore, Parts
from guard.roles import Unavailable
from guard.watched import Watched


@pytest.fixture
def made(tmp_path):
    """A daemon of the shipped jails with a dry-run firewall, not running."""
    (tmp_path / "guard.toml").write_text(
        '[state]\ndir = "state"\nsocket = "guard.sock"\n'
        "[protect]\nown = false\nsenders = false\nrefresh = 0\n"
    )
    assembled = assemble.daemon(load(tmp_path / "guard.toml"), tmp_path / "guard.toml")
    daemon = Daemon(assembled.parts, time.time)
    yield daemon, assembled.parts.engine
    daemon._thread.shutdown()
    assembled.parts.close()


def scan(address: str) -> list[Rejection]:
    """One refusal that is enough for a ban."""
    return [Rejection(time.time(), address, Kind.SCANNER)]


def blocked(engine) -> set[str]:
    """What the dry-run firewall holds."""
    return set(map(str, engine.mirror._firewall.blocked(time.time())))


def test_whoever_is_banned_is_dropped_before_anybody_is_told(made):
    """The same call that counts has the kernel follow: nothing is waited for in between."""
    daemon, engine = made
    engine.mirror.start(time.time())
    told = []
    engine.chronicle.banned = told.append
    claims = daemon._enforce(scan("185.7.0.1"), None, engine)
    assert [claim.network for claim in claims] == [net("185.7.0.1")]
    assert blocked(engine) == {"185.7.0.1"}
    assert told == []


def test_a_firewall_that_fails_holds_up_no_counting(made):
    """The ban is made all the same, and not every batch tries the firewall again."""
    daemon, engine = made
    engine.mirror.start(time.time())
    tries = []

    def broken(now: float) -> None:
        tries.append(now)
        raise Unavailable("no memory")

    step, engine.mirror.step = engine.mirror.step, broken
    for n in range(3):
        assert len(daemon._enforce(scan(f"185.7.0.{n}"), None, engine)) == 1
    assert len(tries) == 1
    step(time.time())
    assert blocked(engine) == {f"185.7.0.{n}" for n in range(3)}


def test_a_command_outlives_a_firewall_process_that_begins_anew(made):
    """The answer means that the kernel has it, and comes although the first try met a new one."""
    daemon, engine = made
    engine.mirror.start(time.time())
    step, tries = engine.mirror.step, []

    def anew(now: float) -> None:
        tries.append(now)
        if len(tries) == 1:
            raise Unavailable("the firewall's process was restarted")
        step(now)

    engine.mirror.step = anew
    asyncio.run(daemon._do("ban", {"network": "185.7.0.9", "length": 60.0, "reason": ""}))
    assert len(tries) == 2
    assert blocked(engine) == {"185.7.0.9"}


def test_a_source_that_works_again_and_hears_nothing_shows_no_error(made, monkeypatch):
    """Redis came back on a quiet night: the fault is over when it has not met it for a while."""
    daemon, engine = made
    monkeypatch.setattr("guard.daemon.STEADY", 0.01)

    class Quiet:
        """Fails once, then waits for what does not come."""

        name, fails = "quiet", True

        async def batches(self):
            if self.fails:
                self.fails = False
                raise Unavailable("gone")
            await asyncio.Event().wait()
            yield []

    class Noted(Watched):
        """Says when its error is set."""

        def __setattr__(self, name, value):
            super().__setattr__(name, value)
            if name == "error" and (value or said):
                said.append(value)
                over.set() if not value else None

    async def play() -> None:
        listening = asyncio.create_task(daemon._listen(Noted(Quiet()), engine))
        async with asyncio.timeout(20):
            await over.wait()
        listening.cancel()

    said: list[str] = []
    over = asyncio.Event()
    asyncio.run(play())
    assert said == ["gone", ""]


def test_a_chore_that_hangs_holds_up_no_stop():
    """A list whose server sends a byte now and then, a name server that never answers."""
    inside, over = threading.Event(), threading.Event()

    def hang(now: float) -> None:
        inside.set()
        os.kill(os.getpid(), signal.SIGTERM)
        over.wait(20)
        late.append(True)

    late: list[bool] = []
    daemon = Daemon(Parts(chores=[Chore("lists", 60.0, hang)]), time.time)
    asyncio.run(daemon.run())
    assert inside.is_set()
    assert not late, "the end waited for the chore"
    over.set()
