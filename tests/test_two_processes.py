"""Listener and daemon as two processes that meet in a real Redis, whatever becomes of it."""

import json
from contextlib import ExitStack

import pytest
from netns import eventually
from service import Service, dialogue, guard
from support import free_port

RELAY = ("EHLO scanner", "MAIL FROM:<test@test.com>", "RCPT TO:<x@example.net>")
CONFIG = """
[state]
dir = "state"
[store]
url = "{url}"
[log]
records = "records.jsonl"
[[listener]]
listen = "127.0.0.1:{port}"
hostname = "mx.example.com"
relay_hosts = []
[protect]
reserved = false
own = false
"""

pytestmark = pytest.mark.redis


@pytest.fixture
def pair(tmp_path, redis_server):
    """Redis, and `guard daemon` and `guard listener` on it, with the listener's address."""
    port = free_port()
    (tmp_path / "guard.toml").write_text(CONFIG.format(url=redis_server.url, port=port))
    with ExitStack() as stack:
        services = [Service(name, tmp_path / "guard.toml") for name in ("daemon", "listener")]
        for service in services:
            stack.callback(service.stop)
            service.start()
        yield redis_server, *services, ("127.0.0.1", port)


def refused(address, source, times):
    """`source` is refused so many times."""
    for _ in range(times):
        assert dialogue(address, *RELAY, source=source)[-1].startswith("550 5.7.1 ")


def banned(daemon):
    """The networks that the daemon says are banned."""
    return [row["network"] for row in daemon.ask("bans")]


def test_what_one_hears_the_other_bans(pair):
    """Five refusals in the listener's process are a ban in the daemon's."""
    _, daemon, _, address = pair
    refused(address, "127.0.0.66", 4)
    assert banned(daemon) == []
    refused(address, "127.0.0.66", 1)
    assert eventually(lambda: banned(daemon) == ["127.0.0.66"]), daemon.said()


def test_redis_lost_and_found(pair):
    """Without Redis the listener answers, rejections wait, and count when it is back."""
    redis, daemon, listener, address = pair
    refused(address, "127.0.0.66", 2)
    redis.stop()
    refused(address, "127.0.0.66", 3)
    assert listener.process.poll() is None
    assert daemon.process.poll() is None
    for service in (daemon, listener):
        assert eventually(lambda said=service.said: "does not answer" in said(), 30)
    redis.start()
    assert eventually(lambda: banned(daemon) == ["127.0.0.66"], 30), daemon.said()
    for service in (daemon, listener):
        assert "Traceback" not in service.said()


def test_the_daemon_is_away(pair):
    """What the listener refuses while no daemon runs is counted by the next one."""
    _, daemon, _, address = pair
    assert daemon.stop() == 0
    refused(address, "127.0.0.66", 5)
    daemon.start()
    assert eventually(lambda: banned(daemon) == ["127.0.0.66"]), daemon.said()


@pytest.mark.parametrize("name", ["up", "daemon", "listener"])
def test_no_redis_at_start(tmp_path, name):
    """Redis absent at start: exit code 69 and one clear line."""
    text = CONFIG.format(url=f"redis://:secret@127.0.0.1:{free_port()}/0", port=0)
    (tmp_path / "guard.toml").write_text(text)
    done = guard(name, "-c", str(tmp_path / "guard.toml"))
    assert done.returncode == 69
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("guard: ")]
    assert "does not answer" in line
    assert "secret" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_listener_alone_needs_redis(tmp_path):
    """Without a store to meet in, a listener alone is a configuration error that says so."""
    (tmp_path / "guard.toml").write_text('[[listener]]\nlisten = "127.0.0.1:0"\n')
    done = guard("listener", "-c", str(tmp_path / "guard.toml"))
    assert done.returncode == 78
    assert "store.url" in done.stderr


def test_another_program_adds_a_rejection(pair):
    """Any producer may add to the stream: field `record`, the JSON of a KumoMTA record."""
    import redis

    server, daemon, _, _ = pair
    from guard.lib.clock import now

    record = {
        "type": "Rejection", "timestamp": int(now()), "response": {
            "code": 550, "content": "relaying not permitted", "command": "DATA"},
        "peer_address": {"name": "x", "addr": "2001:db8::1"},
    }  # fmt: skip
    with redis.Redis.from_url(server.url) as client:
        for _ in range(5):
            client.xadd("guard:rejections", {"record": json.dumps(record)})
    assert eventually(lambda: banned(daemon) == ["2001:db8::/64"]), daemon.said()
