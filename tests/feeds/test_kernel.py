"""Lists in the real kernel: what nftables holds is the list less the protected, exactly."""

import ipaddress
import json
import time
from contextlib import ExitStack, contextmanager

import pytest
from listserver import Page
from netns import World, inside

from guard.events import Claim
from guard.feeds.copies import FolderCopies
from guard.feeds.plain import PlainSettings
from guard.feeds.spamhaus import SpamhausDropSettings, parse_drop
from guard.feeds.sync import Feeds
from guard.feeds.text import parse_lines
from guard.firewall.mirror import Mirror
from guard.firewall.nftables import NFTables
from guard.firewall.nftlayout import SETS
from guard.lib.networks import Network, parse_address, parse_network
from guard.lib.prefixes import Prefixes, span
from guard.protect import own
from guard.protect.protection import Protectors
from guard.protect.settings import ProtectSettings
from guard.stores.embedded_ledger import EmbeddedLedger

pytestmark = pytest.mark.root
DAY = 86400.0
OWN = "203.0.113.77"


class Kernel:
    """A machine in a namespace, with its own address, and Guard's parts from feed to kernel."""

    def __init__(self, world, tmp_path, *settings):
        self.world = world
        self.shield = Protectors.build(ProtectSettings(), here=lambda: own.read(()))
        self.ledger = EmbeddedLedger(None, 3600.0)
        self.firewall = NFTables(None)
        self.mirror = Mirror(self.ledger, self.firewall, self.shield)
        recipes = [one.recipe() for one in settings]
        self.feeds = Feeds(recipes, FolderCopies(tmp_path), self.shield, chance=lambda: 0.5)

    def follow(self, now):
        """Fetches outside, claims, and mirrors into the namespace; what is then in the kernel."""
        for plan in self.feeds.step(now):
            self.feeds.apply(plan, self.ledger, now)
        return self.mirrored()

    def mirrored(self):
        with inside(self.world.server):
            # The kernel's clock is the real one, whatever the test's says.
            now = min((c.until - 3600 for c in self.ledger.claims(0.0) if c.until), default=0.0)
            self.mirror.step(max(now, time.time()))
        return in_kernel(self.world)


LENGTHS = {kind.name: kind.length for kind in SETS}


def in_kernel(world):
    """Every address in every set, as nft itself lists them, two times the same.

    The kernel goes on growing a hash set after a large change; a listing meanwhile misses some.
    """
    last = listed(world)
    for _ in range(20):
        if (again := listed(world)) == last:
            break
        last = again
    return last


def listed(world):
    """One listing."""
    found = []
    for item in json.loads(world.run("nft", "-j", "list", "ruleset"))["nftables"]:
        for element in item.get("set", {}).get("elem", ()):
            networks = _networks(element)
            if length := LENGTHS.get(item["set"]["name"]):  # its keys are matched under a mask
                networks = [network.supernet(length) for network in networks]
            found += networks
    return Prefixes(found)


def _networks(element):
    if isinstance(element, dict) and "elem" in element:
        element = element["elem"]["val"]
    if isinstance(element, str):
        return [parse_address(element)]
    if "prefix" in element:
        prefix = element["prefix"]
        return [parse_network(f"{prefix['addr']}/{prefix['len']}")]
    first, last = (parse_address(text) for text in element["range"])
    return span(first.version, first.value, last.value)


@contextmanager
def kernel(tmp_path, *settings):
    """A machine of this test alone."""
    with ExitStack() as stack:
        world = World(stack, ports=())
        world.run("ip", "address", "add", f"{OWN}/24", "dev", "e0")
        with inside(world.server):
            made = Kernel(world, tmp_path, *settings)
            made.mirror.start(time.time())
        stack.callback(made.firewall.close)
        yield made


def innocents(shield):
    """Addresses that must never be in the kernel, by the standard library's arithmetic."""
    return {
        *(network.value for network, _ in shield.layer("senders")),
        *(int(ipaddress.ip_address(text)) for text in (OWN, "127.0.0.1", "10.1.2.3", "224.0.0.1")),
    }


def walls_of(shield):
    """Protected IPv4 ranges under each first octet: the slow way, apart from Prefixes."""
    walls = {octet: set() for octet in range(256)}
    for name in ("self", "reserved", "senders"):
        for network, _ in shield.layer(name):
            if network.version == 4:
                for octet in range(network.value >> 24, (network.last >> 24) + 1):
                    walls[octet].add((network.value, network.last))
    return walls


def test_real_lists_as_feeds(server, tmp_path, shared):
    """AbuseIPDB, MXroute, ipsum and the scanners: nobody protected is in the kernel's sets."""
    folder = shared / "feeds"
    bodies = {
        "abuseipdb": (folder / "abuseipdb_blacklist_20260315.txt").read_bytes(),
        "mxroute": (folder / "mxroute_botnet.list").read_bytes(),
        "ipsum": (folder / "ipsum_20260822.txt").read_bytes(),
        "scanners": b"\n".join(p.read_bytes() for p in sorted((folder / "scanners").iterdir())),
    }
    for name, body in bodies.items():
        server.pages[f"/{name}"] = Page(body)
    plain = [PlainSettings(name=name, url=f"{server.url}/{name}") for name in bodies]
    with kernel(tmp_path, *plain) as made:
        held = made.follow(time.time())
        for name in bodies:
            assert [part.error for part in made.feeds.state(name).parts.values()] == [""]
        everything = [n for body in bodies.values() for n in parse_lines(body).networks]
        right = Prefixes(everything).minus(made.shield.prefixes)
        assert not list(held.minus(right))[:3]
        assert not list(right.minus(held))[:3]
        for value in innocents(made.shield):
            version = 4 if value < 1 << 32 else 6
            assert not held.overlaps(Network(version, value, 32 if version == 4 else 128))
        for network in held:
            assert ipaddress.ip_network(str(network)).is_global
        walls = walls_of(made.shield)
        for name, body in bodies.items():
            listed = {n for n in parse_lines(body).networks if n.version == 4}
            met = sum(
                any(first <= n.last and n.value <= last for first, last in walls[n.value >> 24])
                for n in listed
            )
            assert sum(made.feeds.state(name).removed.values()) == met
        assert made.feeds.state("abuseipdb").removed["mail sender gmail"] == 20


def test_real_lists_as_manual_range_bans(tmp_path, shared):
    """Each address as a ban of its /24: carved around the protected, or refused."""
    folder = shared / "feeds"
    names = ("abuseipdb_blacklist_20260315.txt", "mxroute_botnet.list")
    listed = [n for name in names for n in parse_lines((folder / name).read_bytes()).networks]
    ranges = sorted({network.supernet(24) for network in listed if network.version == 4})
    with kernel(tmp_path) as made:
        now = time.time()
        made.ledger.claim([Claim(n, "manual", "by hand", now, None) for n in ranges], now)
        held = made.mirrored()
        assert not any(held.overlaps(network) for network in made.shield.prefixes)
        walls = walls_of(made.shield)
        expected = 0
        for network in ranges:
            protected = set()
            for first, last in walls[network.value >> 24]:
                protected.update(range(max(first, network.value), min(last, network.last) + 1))
            expected += 0 if len(protected) > 128 else 256 - len(protected)
        assert held.addresses(4) == expected
        assert expected < 256 * len(ranges)


def test_allowing_frees_at_once_and_against_every_list(server, tmp_path):
    """One entry in `allow` takes an address out of a list's, a jail's and a manual ban."""
    server.pages["/list"] = Page(b"11.4.0.0/24\n")
    with kernel(tmp_path, PlainSettings(name="mine", url=server.url + "/list")) as made:
        now = time.time()
        address = parse_address("11.4.0.7")
        made.ledger.claim([Claim(address, "jail:x", "", now, now + 600)], now)
        made.ledger.claim([Claim(parse_network("11.4.0.0/28"), "manual", "", now, None)], now)
        assert made.follow(now).covers(parse_network("11.4.0.0/24"))
        made.shield.replace("allow", [(address, "allow")])
        freed = made.mirrored()
        assert not freed.overlaps(address)
        assert freed.covers(parse_network("11.4.0.128/25"))
        assert not made.follow(now + 120).overlaps(address)
        made.shield.replace("allow", [])
        assert made.mirrored().covers(address)


def test_spamhaus_month_by_month(server, tmp_path, shared):
    """The dated copies: after each, the kernel is that copy collapsed, and what left is gone."""
    paths = sorted((shared / "feeds" / "spamhaus").glob("drop_v4_*.json"))
    with kernel(tmp_path, SpamhausDropSettings(urls=(server.url + "/v4",))) as made:
        now, before = time.time(), Prefixes()
        for path in paths:
            data = path.read_bytes()
            server.pages["/v4"] = Page(data, kind="application/json")
            now += 2 * DAY
            held = made.follow(now)
            right = Prefixes(parse_drop(data).networks).minus(made.shield.prefixes)
            assert held == right
            left = before.minus(right)
            assert not any(held.overlaps(network) for network in left)
            before = right
        server.pages["/v4"] = Page(b"<html>", kind="text/html")
        assert made.follow(now + 2 * DAY) == before
