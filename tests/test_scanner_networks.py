"""Networks that scanners publish as theirs give the verdict of a scanner, and are read again."""

import json
import signal
import socket
from contextlib import closing

import pytest
from netns import eventually
from service import Service, guard
from support import free_port

CONFIG = """
[state]
dir = "state"
[log]
records = "records.jsonl"
[firewall]
backend = "dry-run"
[jails]
path = []
[[listener]]
listen = "127.0.0.1:{port}"
hostname = "mx.example.com"
relay_hosts = []
proxies = ["127.0.0.1"]
scanner_networks = {networks}
scanner_names = false
[protect]
own = false
"""


class Site:
    """A running `guard up` with lists of networks in a folder and in a file."""

    def __init__(self, folder, networks):
        self.port, self.path = free_port(), folder / "guard.toml"
        self.path.write_text(CONFIG.format(port=self.port, networks=json.dumps(networks)))
        self.service = Service("up", self.path)

    def heard(self, address):
        """The first line that a client at `address` hears."""
        with closing(socket.create_connection(("127.0.0.1", self.port), 10)) as client:
            client.sendall(f"PROXY TCP4 {address} 192.0.2.1 5000 25\r\n".encode())
            return client.makefile().readline().rstrip()

    def scanner(self, address):
        """Which scanner `address` is told to be; empty when it hears a banner."""
        said = self.heard(address)
        return "" if said.startswith("220 ") else said.rpartition(": ")[2]


@pytest.fixture
def site(tmp_path):
    """With one list in a folder, and one in a file."""
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "censys_v4.txt").write_text("# theirs\n162.142.125.0/24\n")
    (tmp_path / "shodan.json").write_text('{"list": ["71.6.135.0/24"], "name": "x"}')
    made = Site(tmp_path, ["lists", "shodan.json"])
    made.service.start()
    yield made
    assert made.service.stop() == 0
    assert "Traceback" not in made.service.said()


def test_lists_are_followed(site, tmp_path):
    """A list that is replaced, added or taken away holds at once; a bad one changes nothing."""
    assert site.scanner("162.142.125.9") == "censys"
    assert site.scanner("71.6.135.9") == "shodan"
    assert site.scanner("8.8.4.4") == ""
    (tmp_path / "new").write_text('{"list": ["8.8.4.0/24"]}')
    (tmp_path / "new").rename(tmp_path / "shodan.json")
    assert eventually(lambda: site.scanner("8.8.4.4") == "shodan"), site.service.said()
    assert site.scanner("71.6.135.9") == ""
    (tmp_path / "lists" / "onyphe_v6.txt").write_text("71.6.135.0/24\n2a0a::/32\n")
    assert eventually(lambda: site.scanner("71.6.135.9") == "onyphe"), site.service.said()
    (tmp_path / "lists" / "onyphe_v6.txt").unlink()
    assert eventually(lambda: site.scanner("71.6.135.9") == "")
    (tmp_path / "shodan.json").write_text("<html>")
    assert eventually(
        lambda: (
            "is no list of networks" in site.service.said()
            or "holds no network" in site.service.said()
        )
    )
    assert site.scanner("8.8.4.4") == "shodan"
    assert guard("check", "-c", str(site.path)).returncode == 78


def test_a_hangup_reads_them_again(site, tmp_path):
    """SIGHUP, for a file system that tells nobody of changes."""
    before = site.service.said().count("configuration is in force")
    site.service.process.send_signal(signal.SIGHUP)
    assert eventually(lambda: site.service.said().count("configuration is in force") > before)
    assert site.scanner("162.142.125.9") == "censys"
    assert eventually((tmp_path / "records.jsonl").exists)
    rows = [json.loads(line) for line in (tmp_path / "records.jsonl").read_text().splitlines()]
    assert {(row["kind"], row["peer_address"]["addr"]) for row in rows} == {
        ("scanner", "162.142.125.9")
    }


def test_lists_that_are_published(tmp_path, shared):
    """As they come: scanners of OpenFilters, and warning lists of MISP."""
    misp = shared / "feeds/misp"
    networks = [str(shared / "feeds/scanners"), str(misp / "shodan-scanning.json")]
    site = Site(tmp_path, networks)
    assert guard("check", "-c", str(site.path)).returncode == 0
    site.service.start()
    try:
        assert site.scanner("162.142.125.9") == "censys"
        assert site.scanner("8.8.4.4") == ""
    finally:
        assert site.service.stop() == 0
