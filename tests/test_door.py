"""Whoever is blocked and still gets to the listener is turned away at its door."""

import socket

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
RELAY = ("EHLO scanner", "MAIL FROM:<test@test.com>", "RCPT TO:<x@example.net>")


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
        eventually(lambda: greeted(port, "127.0.0.66").startswith("554 5.7.1 "))
        assert greeted(port, "127.0.0.67").startswith("220 ")
        assert guard("unban", "127.0.0.66", "-c", str(path)).returncode == 0
        eventually(lambda: greeted(port, "127.0.0.66").startswith("220 "))
        said = dialogue(("127.0.0.1", port), "GET / HTTP/1.1", source="127.0.0.99")
        assert said[-1] == "502 5.5.1 Command unimplemented"  # the trusted are not sent away
    finally:
        assert service.stop() == 0
