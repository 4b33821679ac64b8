"""`guard up` tells a scanner by its reverse name, asked of a name server of this test alone."""

import json
import socket
from contextlib import closing

from netns import eventually
from service import Service
from stubdns import StubDns
from support import free_port

SCANNER, LIAR = "71.6.135.131", "91.92.251.215"
ZONE = {
    ("131.135.6.71.in-addr.arpa", "PTR"): ["census6.shodan.io."],
    ("census6.shodan.io", "A"): [SCANNER],
    ("215.251.92.91.in-addr.arpa", "PTR"): ["census6.shodan.io."],
}
CONFIG = """
[state]
dir = "state"
[log]
events = "events.jsonl"
[firewall]
backend = "dry-run"
[[listener]]
listen = "127.0.0.1:{port}"
hostname = "mx.example.com"
relay_hosts = []
proxies = ["127.0.0.1"]
[protect]
own = false
name_servers = ["127.0.0.1:{dns}"]
"""


def heard(port, address):
    """The first line that a client at `address` hears."""
    with closing(socket.create_connection(("127.0.0.1", port), 10)) as client:
        client.sendall(f"PROXY TCP4 {address} 192.0.2.1 5000 25\r\n".encode())
        return client.makefile().readline().rstrip()


def test_a_scanner_is_told_by_its_reverse_name(tmp_path):
    """From the second session on; who only claims the name is a stranger like others."""
    port = free_port()
    with StubDns(ZONE) as dns:
        path = tmp_path / "guard.toml"
        path.write_text(CONFIG.format(port=port, dns=dns.port))
        service = Service("up", path)
        service.start()
        try:
            assert heard(port, SCANNER).startswith("220 ")
            assert heard(port, LIAR).startswith("220 ")
            said = "554 5.7.1 no service for scanners: Shodan"
            assert eventually(lambda: heard(port, SCANNER) == said), service.said()
            # Once is enough for kumomta-scanner: then it is the ledger that turns it away.
            assert eventually(lambda: "does not talk to your address" in heard(port, SCANNER))
            assert ("215.251.92.91.in-addr.arpa", "PTR") in dns.asked
            assert heard(port, LIAR).startswith("220 ")
        finally:
            assert service.stop() == 0
    assert "Traceback" not in service.said()
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert {(event["addr"], event["event"]) for event in events} == {
        (SCANNER, "scanner"),
        (SCANNER, "ban"),
    }
