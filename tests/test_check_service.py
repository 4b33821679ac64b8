"""What others know of an address, in the real `guard up`: explain, jails, vetoes, no waiting."""

import json
import time
from contextlib import ExitStack
from urllib.request import urlopen

import pytest
from abuseipdb_server import AbuseIpdb
from listserver import ListServer, Page
from netns import eventually
from service import Service, dialogue, guard
from stubdns import StubDns
from support import free_port

KEY = "0123456789abcdef"
RELAY = ("EHLO x", "MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>")
CONFIG = """
[state]
dir = "state"
[[listener]]
listen = "127.0.0.1:{port}"
hostname = "mx.example.com"
relay_hosts = ["127.0.0.1"]
[delivery]
enabled = false
[jails]
path = ["jail.d"]
[protect]
reserved = false
own = false
senders = false
refresh = 0
ssh = false
[web]
listen = "127.0.0.1:{web}"
[check]
wait = "1500ms"
[check.abuseipdb]
key_file = "key"
url = "{abuseipdb}"
timeout = "5s"
[check.greynoise]
enabled = true
url = "{greynoise}"
[check.zen]
enabled = true
zone = "zen.example"
name_servers = ["127.0.0.1:{dns}"]
"""
JAIL = """
[relay]
enabled = true
filter = kumomta[mode=relay]
maxretry = 5
findtime = 10m
bantime = 1h
abuseipdb.score = 75
abuseipdb.maxretry = 2
"""


class World:
    """The services, and Guard between them and its peers on loopback."""

    def __init__(self, stack: ExitStack, folder) -> None:
        self.abuseipdb = stack.enter_context(AbuseIpdb(key=KEY))
        self.greynoise = stack.enter_context(ListServer())
        self.dns = stack.enter_context(StubDns({}))
        self.port, self.web = free_port(), free_port()
        (folder / "key").write_text(KEY)
        (folder / "key").chmod(0o600)
        (folder / "jail.d").mkdir()
        (folder / "jail.d" / "one.conf").write_text(JAIL)
        (folder / "guard.toml").write_text(
            CONFIG.format(
                port=self.port, web=self.web, abuseipdb=self.abuseipdb.url,
                greynoise=self.greynoise.url, dns=self.dns.port,
            )
        )  # fmt: skip
        self.guard = Service("up", folder / "guard.toml")
        stack.callback(self.guard.stop)
        self.guard.start()

    def refused(self, source, times=1):
        """Has `source` try to relay."""
        for _ in range(times):
            replies = dialogue(("127.0.0.1", self.port), *RELAY, source=source)
            assert replies[-1].startswith("550 5.7.1"), replies

    def bans(self):
        return [(ban["network"], ban["reason"]) for ban in self.guard.ask("bans")]

    def asked(self, address):
        """Whether AbuseIPDB has answered about it."""
        return any(address in path for _, path, _, _ in self.abuseipdb.asked)

    def opinions(self, address):
        (answer,) = self.guard.ask("explain", address)
        return {row["name"]: row for row in answer["opinions"]}


@pytest.fixture
def world(tmp_path):
    with ExitStack() as stack:
        yield World(stack, tmp_path)


def data(score, **more):
    return {"abuseConfidenceScore": score, "totalReports": 12, **more}


def test_a_bad_name_bans_earlier_and_explain_says_why(world):
    """One rejection has the address asked about; the next is enough. Others need all five."""
    world.abuseipdb.known = {
        "127.0.0.9": data(87, isp="Example\x1b[2J", usageType="Data Center", countryCode="CN"),
        "127.0.0.10": data(74),
    }
    world.dns.zone[("9.0.0.127.zen.example", "A")] = ["127.0.0.3"]
    for source in ("127.0.0.9", "127.0.0.10"):
        world.refused(source)
    assert eventually(lambda: world.asked("127.0.0.9") and world.asked("127.0.0.10"))
    assert eventually(lambda: world.guard.ask("status")[0]["check"][0]["known"] == 2)
    assert world.bans() == []
    for source in ("127.0.0.9", "127.0.0.10"):
        world.refused(source)
    why = "2 rejections within 10m, fewer are enough: abuseipdb score 87"
    assert eventually(lambda: world.bans() == [("127.0.0.9", why)]), world.guard.said()
    world.refused("127.0.0.10", 2)
    assert world.bans() == [("127.0.0.9", why)]

    found = world.opinions("127.0.0.9")
    assert found["abuseipdb"]["score"] == 87
    assert found["abuseipdb"]["facts"]["ISP"] == "Example\\x1b[2J"
    assert (found["zen"]["score"], found["zen"]["verdict"]) == (100, "CSS")
    assert found["greynoise"]["error"] == "greynoise: its answer is no JSON"
    shown = guard("explain", "127.0.0.9", "-c", str(world.guard.config)).stdout
    assert "abuseipdb: score 87, reported (reports 12, usage type Data Center, ISP Exam" in shown
    assert "\x1b" not in shown
    assert "    so that 2 rejections are enough for jail relay\n" in shown
    (offline,) = world.guard.ask("explain", "127.0.0.9", "--offline")
    assert offline["opinions"] == []
    with urlopen(f"http://127.0.0.1:{world.web}/metrics", timeout=5) as answer:
        assert b'guard_check_known{name="abuseipdb"} 2.0' in answer.read()
    assert KEY not in world.guard.said() + json.dumps(world.guard.ask("status"))


def test_a_service_that_hangs_delays_no_ban_no_explain_and_no_stop(world):
    """Five rejections ban at once; explain says who did not answer; the end comes at once."""
    world.abuseipdb.way = "hang"
    before = time.monotonic()
    world.refused("127.0.0.9", 5)
    assert eventually(lambda: world.bans() == [("127.0.0.9", "5 rejections within 10m")])
    assert time.monotonic() - before < 4
    assert world.opinions("127.0.0.10")["abuseipdb"]["error"] == "not answered"
    before = time.monotonic()
    assert world.guard.stop() == 0
    assert time.monotonic() - before < 4


def test_what_everybody_uses_is_let_in_again(world):
    """The ban was faster than GreyNoise; its answer un-blocks, and lasts over a restart."""
    riot = {"noise": False, "riot": True, "classification": "benign", "name": "Example DNS"}
    world.greynoise.pages["/127.0.0.9"] = Page(json.dumps(riot).encode())
    world.refused("127.0.0.9", 5)

    def explained():
        (answer,) = world.guard.ask("explain", "127.0.0.9", "--offline")
        return answer["protected"], answer["blocked"]

    said = "greynoise: common service, Example DNS"
    assert eventually(lambda: explained() == (said, False)), world.guard.said()
    assert {"layer": "vetoes", "network": "127.0.0.9", "why": said} in world.guard.ask(
        "protect", "list"
    )
    world.guard.stop()
    assert explained() == (said, False)
    world.greynoise.pages.clear()
    world.guard.start()
    assert explained() == (said, False)


def test_without_a_daemon_the_command_asks_by_itself(world):
    """With the same quota and the same memory."""
    world.abuseipdb.known["127.0.0.9"] = data(12)
    world.guard.stop()
    assert world.opinions("127.0.0.9")["abuseipdb"]["score"] == 12
    count = len(world.abuseipdb.asked)
    assert world.opinions("127.0.0.9")["abuseipdb"]["score"] == 12
    assert len(world.abuseipdb.asked) == count
    world.guard.start()
    assert world.guard.ask("status")[0]["check"][0]["left today"] == 999


def test_check_names_keys_that_cannot_be_read_and_what_is_for_nothing(world, tmp_path):
    """The one is a fault, the others are warnings."""
    (tmp_path / "jail.d" / "two.conf").write_text(
        "[relay]\nvirustotal.score = 5\nzen.score = 100\nzen.maxretry = 5\n"
    )
    (tmp_path / "key").chmod(0o644)
    done = guard("check", "-c", str(world.guard.config))
    assert done.returncode == 0, done.stderr
    assert "virustotal.score of jail relay never holds" in done.stdout + done.stderr
    assert "zen.score of jail relay changes nothing" in done.stdout + done.stderr
    assert "chmod o-rwx" in done.stdout + done.stderr
    assert "check.greynoise.enabled" not in done.stdout + done.stderr
    text = (tmp_path / "guard.toml").read_text()
    text = text.replace("enabled = true\nurl", 'key_file = "key"\nurl')
    (tmp_path / "guard.toml").write_text(text)
    done = guard("check", "-c", str(world.guard.config))
    assert "check.greynoise.enabled" in done.stdout + done.stderr
    (tmp_path / "key").unlink()
    done = guard("check", "-c", str(world.guard.config))
    assert done.returncode == 78
    assert "check.abuseipdb.key_file" in done.stdout + done.stderr
    text = text.replace('key_file = "key"', 'credential = "key"')
    (tmp_path / "guard.toml").write_text(text)
    done = guard("check", "-c", str(world.guard.config))
    assert done.returncode == 0, "systemd passes a credential to the service alone"
