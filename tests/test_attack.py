"""An attack of equal rejections is a handful of lines, and is counted whole."""

import json
import os
import socket
import threading

from netns import eventually
from service import Service
from support import free_port

CONFIG = """
[state]
dir = "state"
[log]
records = "records.jsonl"
events = "events.jsonl"
collapse = "2s"
[jails]
path = []
[firewall]
backend = "dry-run"
[[listener]]
listen = "127.0.0.1:{port}"
hostname = "mx.example.com"
relay_hosts = []
max_errors = 100000000
max_commands = 100000000
[protect]
reserved = false
own = false
"""
CALLERS = 8
EACH = 125_000 if "GUARD_SOAK" in os.environ else 10_000


def attack(port):
    """One connection's share, pipelined."""
    with socket.create_connection(("127.0.0.1", port), 60, ("127.0.0.66", 0)) as client:
        client.settimeout(300)
        client.recv(200)

        def hear():
            while client.recv(1 << 16):
                pass

        hearing = threading.Thread(target=hear)
        hearing.start()
        for _ in range(EACH // 500):
            client.sendall(b"bogus\r\n" * 500)
        client.sendall(b"QUIT\r\n")
        hearing.join()


def test_equal_rejections_without_end(tmp_path):
    """Records and events have some lines each, whose counts and the status say how many it was."""
    port, path = free_port(), tmp_path / "guard.toml"
    path.write_text(CONFIG.format(port=port))
    service = Service("up", path)
    service.start()
    try:
        callers = [threading.Thread(target=attack, args=[port]) for _ in range(CALLERS)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()

        def counted():
            (status,) = service.ask("status")
            assert status["source"][0]["dropped"] == 0
            return status["rejections"] == {"command_unimplemented": CALLERS * EACH}

        assert eventually(counted, 60)
    finally:
        assert service.stop() == 0
    for name in ("records.jsonl", "events.jsonl"):
        rows = [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        assert sum(row.get("count", 1) for row in rows) == CALLERS * EACH
        assert len(rows) < 30
    assert len(service.said().splitlines()) < 15
