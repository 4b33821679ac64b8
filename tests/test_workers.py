"""`workers = N`: several processes on one port, one of them killed, all of them ended."""

import os
import signal
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


def test_a_process_runs_its_share(tmp_path):
    """Limits are divided, one process delivers, and a listener with fewer workers is not in all."""
    listeners = [
        {"listen": "127.0.0.1:2525", "workers": 4, "max_connections": 1000, "max_auth_guesses": 5},
        {"listen": "127.0.0.1:2526"},
    ]
    settings = parse({"listener": listeners}, tmp_path / "guard.toml")
    first, last = worker_of(settings, 0), worker_of(settings, 3)
    assert [item.listen.port for item in first.listener] == [2525, 2526]
    assert [item.listen.port for item in last.listener] == [2525]
    assert (first.delivery.enabled, last.delivery.enabled) == (True, False)
    assert last.listener[0].max_connections == 250
    assert last.listener[0].max_auth_guesses == 2
    assert last.listener[0].max_connections_per_address == 27
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
