"""`workers = N`: several processes on one port, one of them killed, all of them ended."""

import json
import os
import signal
import socket
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from netns import eventually
from service import Service, dialogue
from support import free_port

from guard.cli.serve import worker_of
from guard.config import parse

RELAY = ("EHLO scanner", "MAIL FROM:<test@test.com>", "RCPT TO:<x@example.net>")
CONFIG = """
[state]
dir = "state"
[store]
url = "{url}"
[[listener]]
listen = "127.0.0.1:{port}"
hostname = "mx.example.com"
relay_hosts = []
workers = 3
[protect]
reserved = false
own = false
"""


def test_what_a_process_runs(tmp_path):
    """One process delivers, and a listener with fewer workers is not in all; limits are whole."""
    listeners = [
        {"listen": "127.0.0.1:2525", "workers": 4},
        {"listen": "127.0.0.1:2526"},
    ]
    settings = parse({"listener": listeners}, tmp_path / "guard.toml")
    first, last = worker_of(settings, 0), worker_of(settings, 3)
    assert [item.listen.port for item in first.listener] == [2525, 2526]
    assert [item.listen.port for item in last.listener] == [2525]
    assert (first.delivery.enabled, last.delivery.enabled) == (True, False)
    assert last.listener[0] == settings.listener[0]
    assert first.listener[1] == settings.listener[1]
    assert worker_of(settings, None) == settings


def children(pid):
    """The processes that `pid` has started."""
    return sorted(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


@pytest.mark.redis
def test_workers_share_a_port_and_are_replaced(tmp_path, redis_server):
    """All serve; one that is killed is started again; at the end none is left."""
    port = free_port()
    (tmp_path / "guard.toml").write_text(CONFIG.format(url=redis_server.url, port=port))
    service = Service("listener", tmp_path / "guard.toml")
    service.start()
    try:
        crew = children(service.process.pid)
        assert len(crew) == 3
        for _ in range(20):
            said = dialogue(("127.0.0.1", port), *RELAY, source="127.0.0.66")
            assert said[-1].startswith("550 5.7.1 ")
        assert eventually(
            lambda: "Next, in another terminal: python -m guard demo" in service.said()
        )
        assert service.said().count("Next, in another terminal") == 1  # not once for each
        os.kill(crew[0], signal.SIGKILL)
        assert eventually(lambda: len(set(children(service.process.pid)) - {crew[0]}) == 3)
        said = dialogue(("127.0.0.1", port), *RELAY, source="127.0.0.66")
        assert said[-1].startswith("550 5.7.1 ")
        crew = children(service.process.pid)
    finally:
        assert service.stop() == 0
    for pid in crew:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@contextmanager
def listener(tmp_path, redis_server, more):
    """A listener of three processes with `more` settings, and its port."""
    port = free_port()
    text = CONFIG.format(url=redis_server.url, port=port)
    text = text.replace("workers = 3", f"workers = 3\n{more}")
    (tmp_path / "guard.toml").write_text(text)
    service = Service("listener", tmp_path / "guard.toml")
    service.start()
    try:
        yield service, port
    finally:
        assert service.stop() == 0
        assert "Traceback" not in service.said()


class Caller:
    """A connection that stays, with the first line that it heard."""

    def __init__(self, port, source, stack):
        self.socket = stack.enter_context(socket.socket())
        self.socket.settimeout(10)
        self.socket.bind((source, 0))
        self.socket.connect(("127.0.0.1", port))
        self.heard = self.socket.recv(200).decode()

    @property
    def welcome(self):
        """Whether it heard a banner."""
        return self.heard.startswith("220 ")


@pytest.mark.redis
def test_an_address_has_its_connections_over_all_processes(tmp_path, redis_server):
    """Seven are seven, in whichever process; a process that dies gives back what it held."""
    with (
        listener(tmp_path, redis_server, "max_connections_per_address = 7") as (service, port),
        ExitStack() as stack,
    ):

        def let_in():
            with ExitStack() as tried:
                heard = [Caller(port, "127.0.0.66", tried) for _ in range(20)]
                assert Caller(port, "127.0.0.67", tried).welcome
            assert all(one.welcome or one.heard.startswith("421 4.7.0 ") for one in heard)
            assert sum(one.welcome for one in heard) <= 7
            return [one.welcome for one in heard]

        # Who has gone is let go by each process in its own time.
        for _ in range(3):
            assert eventually(lambda: let_in() == [True] * 7 + [False] * 13)

        def seven():
            stack.close()
            return [Caller(port, "127.0.0.66", stack) for _ in range(7)]

        held = []
        assert eventually(lambda: all(c.welcome for c in (held.extend(seven()) or held[-7:])))
        crew = children(service.process.pid)
        os.kill(crew[0], signal.SIGKILL)
        assert eventually(lambda: len(set(children(service.process.pid)) - {crew[0]}) == 3)
        lost = sum(not _alive(caller) for caller in held[-7:])

        def as_many():
            with ExitStack() as tried:
                new = [Caller(port, "127.0.0.66", tried).welcome for _ in range(7)]
            return sum(new) == lost

        assert eventually(as_many)


def _alive(caller):
    """Whether the process at the other end is there."""
    try:
        caller.socket.sendall(b"NOOP\r\n")
        return caller.socket.recv(100).startswith(b"250 ")
    except OSError:
        return False


@pytest.mark.redis
def test_an_address_has_its_minute_over_all_processes(tmp_path, redis_server):
    """Forty new sessions are forty, then it is told to wait."""
    with listener(tmp_path, redis_server, "max_sessions_per_minute = 40") as (_, port):
        heard = []
        for _ in range(60):
            with ExitStack() as stack:
                heard.append(Caller(port, "127.0.0.66", stack).welcome)
        assert heard == [True] * 40 + [False] * 20


@pytest.mark.redis
def test_connections_in_all_are_counted_over_all_processes(tmp_path, redis_server):
    """Strangers have nine tenths of `max_connections`, relay hosts the rest."""
    more = "max_connections = 20\nmax_connections_per_address = 100"
    with listener(tmp_path, redis_server, more) as (_, port), ExitStack() as stack:
        heard = [Caller(port, "127.0.0.66", stack).heard for _ in range(25)]
        assert [line[:4] for line in heard] == ["220 "] * 18 + ["421 "] * 7


@pytest.mark.redis
def test_an_attack_on_all_processes_is_a_handful_of_lines(tmp_path, redis_server):
    """Thousands of equal rejections: some lines of the record log, which add up to all of them."""
    rejections, callers = 500, 24
    more = (
        "max_errors = 1000000\nmax_commands = 1000000\n[log]\nrecords = 'records.jsonl'\n"
        "collapse = '2s'"
    )
    with listener(tmp_path, redis_server, more) as (_, port), ExitStack() as stack:
        for caller in [Caller(port, "127.0.0.66", stack) for _ in range(callers)]:
            caller.socket.sendall(b"bogus\r\n" * rejections + b"QUIT\r\n")
            while caller.socket.recv(100_000):
                pass
    lines = (tmp_path / "records.jsonl").read_text().splitlines()
    assert sum(json.loads(line).get("count", 1) for line in lines) == rejections * callers
    assert len(lines) <= 12


@pytest.mark.redis
def test_a_fault_in_the_configuration_ends_all(tmp_path, redis_server):
    """No endless restarts of what cannot work: the exit code is the workers' own."""
    text = CONFIG.format(url=redis_server.url, port=free_port())
    text = text.replace("workers = 3", 'workers = 3\nlistener_domains = ["absent.toml"]')
    (tmp_path / "guard.toml").write_text(text)
    service = Service("listener", tmp_path / "guard.toml")
    with pytest.raises(AssertionError, match=r"absent\.toml"):
        service.start()
    assert service.process.wait(20) == 78


@pytest.mark.redis
def test_a_daemon_tells_what_its_listeners_count(tmp_path, redis_server):
    """Every limit is there from the start, and all processes are one row."""
    with listener(tmp_path, redis_server, "max_connections_per_address = 3") as (_, port):
        daemon = Service("daemon", tmp_path / "guard.toml")
        daemon.start()
        try:
            with ExitStack() as stack:
                heard = [Caller(port, "127.0.0.66", stack).welcome for _ in range(5)]
                assert heard.count(True) == 3

                def row():
                    (status,) = daemon.ask("status")
                    return (status["listener"] or [{}])[0]

                assert eventually(lambda: row().get("connections") == 3, 20)
                assert row()["max_connections_per_address"] == 2
                assert row()["max_errors"] == row()["max_message_size"] == 0
                assert row()["name"] == f"127.0.0.1:{port}"
        finally:
            assert daemon.stop() == 0
