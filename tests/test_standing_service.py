"""A host that takes our mail is one that Guard spares: the real `guard up`, between hosts."""

import smtplib
import socketserver
import threading
from contextlib import ExitStack

import pytest
from netns import World, eventually, inside
from service import Service, dialogue

CONFIG = """
[state]
dir = "state"
[log]
records = "records.jsonl"
[[listener]]
listen = ":25"
hostname = "mx.example.com"
relay_hosts = ["127.0.0.1"]
[queue.default]
routing_domain = "[192.0.2.10]:2525"
[protect]
reserved = false
own = false
senders = false
refresh = 0
[firewall]
backend = "dry-run"
"""
SERVER = "192.0.2.1"

pytestmark = pytest.mark.root


class Taking(socketserver.StreamRequestHandler):
    """A mail server that takes everything."""

    def handle(self) -> None:
        """Answers until the client goes."""
        self.wfile.write(b"220 hop\r\n")
        body = False
        for line in self.rfile:
            word = line[:4].upper().strip()
            if body and line != b".\r\n":
                continue
            body = word == b"DATA"
            self.wfile.write(b"354 go\r\n" if body else b"250 ok\r\n")


def serve(world: World, stack: ExitStack) -> None:
    """Has the offender's host take mail at port 2525."""
    with inside(world.offender.name):
        server = stack.enter_context(socketserver.ThreadingTCPServer(("192.0.2.10", 2525), Taking))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    stack.callback(thread.join)
    stack.callback(server.shutdown)


def banned(service: Service) -> list[str]:
    """Who is banned."""
    return [ban["network"] for ban in service.ask("bans")]


def test_whoever_takes_our_mail_is_spared(tmp_path):
    """Delivery gives good standing, which `guard explain` shows and a weak jail respects."""
    (tmp_path / "guard.toml").write_text(CONFIG)
    with ExitStack() as stack:
        world = World(stack, ports=())
        serve(world, stack)
        service = Service("up", tmp_path / "guard.toml", ("ip", "netns", "exec", world.server))
        stack.callback(service.stop)
        service.start()
        assert eventually(lambda: world.offender.connects(SERVER)), service.said()
        (before,) = service.ask("explain", "192.0.2.10")
        with inside(world.server), smtplib.SMTP("127.0.0.1", timeout=20) as smtp:
            smtp.sendmail("a@example.com", ["b@example.net"], "Subject: x\r\n\r\nhello\r\n")

        def standing() -> bool:
            (after,) = service.ask("explain", "192.0.2.10")
            return bool(after["standing"]) and after["standing"]["how"] == "delivery"

        assert eventually(standing, 20), service.said()
        for source in ("192.0.2.10", "192.0.2.11"):
            with inside(world.offender.name):
                for _ in range(5):
                    said = dialogue(
                        (SERVER, 25), "EHLO x", "MAIL FROM:<>", "RCPT TO:<c@d.test>", source=source
                    )
                    assert said[-1].startswith("550 5.7.1 relaying not permitted")
        # The stranger beside it, who did the same, is banned; by then the first has been judged.
        assert eventually(lambda: banned(service) == ["192.0.2.11"], 20), service.said()
    assert before["standing"] is None
