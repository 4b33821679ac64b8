"""Whoever is blocked and still gets to the listener is turned away at its door."""

import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
from netns import eventually
from service import Service, dialogue, guard
from support import free_port

CONFIG = """
[state]
dir = "state"
[firewall]
backend = "dry-run"
[[listener]]
listen = "127.0.0.1:{port}"
hostname = "mx.example.com"
relay_hosts = []
[protect]
reserved = false
own = false
allow = ["127.0.0.99"]
"""
RELAY = ("MAIL FROM:<test@test.com>", "RCPT TO:<x@example.net>")


def greeted(port, source):
    """The first line that the listener says to `source`."""
    with socket.create_connection(("127.0.0.1", port), 10, (source, 0)) as client:
        return client.makefile().readline().rstrip()


def test_a_ban_in_a_dry_run_is_felt_at_the_door(tmp_path):
    """After enough refusals the address hears 554; others do not; an un-ban lets it in again."""
    port, path = free_port(), tmp_path / "guard.toml"
    path.write_text(CONFIG.format(port=port))
    service = Service("up", path)
    service.start()
    try:
        for _ in range(5):
            said = dialogue(("127.0.0.1", port), *RELAY, source="127.0.0.66")
            assert said[-1].startswith("550 5.7.1 ")
        assert eventually(lambda: greeted(port, "127.0.0.66").startswith("554 5.7.1 "))
        assert greeted(port, "127.0.0.67").startswith("220 ")
        assert guard("unban", "127.0.0.66", "-c", str(path)).returncode == 0
        assert eventually(lambda: greeted(port, "127.0.0.66").startswith("220 "))
        said = dialogue(("127.0.0.1", port), "GET / HTTP/1.1", source="127.0.0.99")
        assert said[-1] == "502 5.5.1 Command unimplemented"  # the trusted are not sent away
    finally:
        assert service.stop() == 0


ALONE = CONFIG.replace(
    "[firewall]",
    """
[store]
url = "{url}"
[firewall]""",
)


def lets_in(port, source):
    """Whether `source` hears a banner."""
    return greeted(port, source).startswith("220 ")


@pytest.fixture
def pair(tmp_path, redis_server):
    """Redis, `guard daemon`, and `guard listener` of two processes, with the listener's port."""
    port, path = free_port(), tmp_path / "guard.toml"
    path.write_text(
        ALONE.format(port=port, url=redis_server.url).replace(
            "relay", "workers = 2\nmax_commands = 2\nrelay"
        )
    )
    with ExitStack() as stack:
        services = [Service(name, path) for name in ("daemon", "listener")]
        for service in services:
            stack.callback(service.stop)
            service.start()
        yield redis_server, *services, port, path


def turned_away(port, source):
    """Whether `source` hears 554 from every process, as far as some tries show."""
    return all(greeted(port, source).startswith("554 5.7.1 ") for _ in range(8))


@pytest.mark.redis
def test_a_listener_alone_knows_the_ledger(pair):
    """What the daemon bans is refused by every process of the listener; others are not."""
    redis, daemon, listener, port, path = pair
    for _ in range(5):
        dialogue(("127.0.0.1", port), *RELAY, source="127.0.0.66")
    assert eventually(lambda: turned_away(port, "127.0.0.66")), listener.said()
    assert lets_in(port, "127.0.0.67")
    # A network by hand, and a pause, which lets everybody in.
    assert guard("ban", "127.0.3.0/24", "-c", str(path)).returncode == 0
    assert eventually(lambda: turned_away(port, "127.0.3.9"))
    assert guard("pause", "10m", "-c", str(path)).returncode == 0
    assert eventually(lambda: all(lets_in(port, "127.0.3.9") for _ in range(8)))
    assert guard("resume", "-c", str(path)).returncode == 0
    assert eventually(lambda: turned_away(port, "127.0.3.9"))
    # With Redis gone the last state holds; and the listener goes on.
    redis.stop()
    assert turned_away(port, "127.0.0.66")
    assert lets_in(port, "127.0.0.67")
    redis.start()
    assert eventually(lambda: guard("unban", "127.0.0.66", "-c", str(path)).returncode == 0, 30)
    assert eventually(lambda: all(lets_in(port, "127.0.0.66") for _ in range(8)), 30)
    assert "Traceback" not in listener.said() + daemon.said()


@pytest.mark.redis
def test_a_listener_alone_knows_whom_guard_protects(pair):
    """Not relay_hosts alone: `allow` in the file, by hand, and in a file that is edited."""
    _, _, listener, port, path = pair

    def trusted(source):
        said = (dialogue(("127.0.0.1", port), *["NOOP"] * 4, source=source)[-1] for _ in range(6))
        return all(line.startswith("250 ") for line in said)

    assert trusted("127.0.0.99")
    assert not trusted("127.0.4.1")
    assert guard("allow", "127.0.4.1", "-c", str(path)).returncode == 0
    assert eventually(lambda: trusted("127.0.4.1")), listener.said()
    path.write_text(path.read_text().replace('"127.0.0.99"', '"127.0.4.2"'))
    assert eventually(lambda: trusted("127.0.4.2"), 20), listener.said()
    assert eventually(lambda: not trusted("127.0.0.99"), 20)


@pytest.mark.redis
def test_a_worker_that_is_started_again_knows_at_once(pair):
    """Whoever was blocked hears no banner from a process that replaces another."""
    _, daemon, listener, port, path = pair
    assert guard("ban", "127.0.0.66", "-c", str(path)).returncode == 0
    assert eventually(lambda: turned_away(port, "127.0.0.66"))
    number = listener.process.pid
    with Path(f"/proc/{number}/task/{number}/children").open() as children:
        for child in children.read().split():
            os.kill(int(child), signal.SIGKILL)

    def said():
        try:
            return greeted(port, "127.0.0.66")
        except OSError:
            return ""

    heard = []
    assert eventually(lambda: heard.append(said()) or sum(map(bool, heard)) > 20, 30)
    assert not [line for line in heard if line.startswith("220 ")]
    assert daemon.process.poll() is None
