"""Every back end that talks to a kernel, with real packets: one suite, run against each.

A server in a network namespace listens on port 25; an offender and an innocent host connect to it.
Blocks end by the kernel's own clock, so that a test of an end waits for that clock.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from netns import World, eventually, inside, settle
from support import documented_firewall

from guard.events import Block
from guard.firewall.abilities import Untimed
from guard.firewall.blackhole import Blackhole
from guard.firewall.exec import Exec
from guard.firewall.iptables import IPTables
from guard.firewall.nftables import NFTables
from guard.firewall.separate import separate
from guard.firewall.settings import FirewallSettings
from guard.firewall.xtables import Legacy, Nft
from guard.lib.networks import parse_network as net
from guard.roles import Firewall

pytestmark = pytest.mark.root
MAIL = (25, 465, 587)
FILTERS = {
    "nftables": lambda ports=MAIL, **more: NFTables(ports, **more),
    "iptables-legacy": lambda ports=MAIL, **more: IPTables(ports, rules=Legacy(), **more),
    "iptables-nft": lambda ports=MAIL, **more: IPTables(ports, rules=Nft(), **more),
}
KINDS = {
    **FILTERS,
    "blackhole": lambda ports=None: Blackhole(),
    "exec": lambda ports=None: Exec([str(documented_firewall())]),
    "separate": lambda ports=MAIL: (
        separate(
            FirewallSettings(backend="nftables", ports="all" if ports is None else ports)
        ).firewall
    ),
}
filters = pytest.mark.parametrize("make", FILTERS.values(), ids=FILTERS)


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest):
    """Makes a back end of one kind."""
    return KINDS[request.param]


@pytest.fixture
def firewall(make, world: World) -> Iterator[Firewall]:
    """A back end that is open in the server's namespace; the test's thread is in there."""
    with inside(world.server):
        made = make()
        made.open()
        yield made
        made.close()


def block(*networks: str, until: float | None = None) -> list[Block]:
    """Blocks of `networks` that all end together."""
    return [Block(net(network), until) for network in networks]


def texts(firewall: Firewall) -> set[str]:
    """What is blocked, as text."""
    return {str(network) for network in firewall.blocked(time.time())}


BANNED = (
    ("192.0.2.1", "192.0.2.10"),
    ("192.0.2.1", "192.0.2.0/24"),
    ("192.0.2.1", "192.0.0.0/16"),
    ("192.0.2.1", "192.0.2.8/29"),
    ("2001:db8:1::1", "2001:db8:1::10"),
    ("2001:db8:1::1", "2001:db8:1::/64"),
    ("2001:db8:1::1", "2001:db8:1::/48"),
    ("2001:db8:1::1", "2001:db8::/47"),
)


@pytest.fixture
def worlds() -> Iterator[list[World]]:
    """A world for each of BANNED, so that their bans end side by side."""
    with ExitStack() as stack:
        made = [World(stack) for _ in BANNED]
        for world in made:
            settle(world)
        yield made


def test_a_ban_drops_the_offender_alone_and_ends_by_itself(make, worlds: list[World]):
    """Before, during and after a ban: only the offender's packets go, and only during."""
    firewalls = []
    for world, (server, network) in zip(worlds, BANNED, strict=True):
        with inside(world.server):
            firewalls.append(make())
            firewalls[-1].open()
            assert world.offender.connects(server)
            firewalls[-1].apply(block(network, until=time.time() + 2), [], time.time())
            assert world.offender.dropped(server), network
            assert world.innocent.connects(server), network
    for world, firewall, (server, network) in zip(worlds, firewalls, BANNED, strict=True):
        with inside(world.server):
            # Nobody releases it: the kernel's own timeout does, where it has one.
            assert eventually(partial(is_over, firewall, world, server)), network
            firewall.close()


def is_over(firewall: Firewall, world: World, server: str) -> bool:
    """Whether a ban that ran out is gone from the kernel, and the offender let in."""
    if not expired(firewall) or world.offender.dropped(server):
        return False
    return world.offender.connects(server) and not firewall.blocked(time.time())


def expired(firewall: Firewall) -> bool:
    """Lets a back end without timeouts look at the clock."""
    if isinstance(firewall, Untimed):
        firewall.expire(time.time())
    return True


@pytest.mark.parametrize("network", ["192.0.2.10", "192.0.2.0/24", "2001:db8:1::/64"])
def test_a_release_lets_the_offender_in_again(firewall: Firewall, world: World, network: str):
    """A ban for ever ends when it is released, and a second release is no error."""
    server = world.v6 if ":" in network else world.v4
    firewall.apply(block(network), [], time.time())
    assert world.offender.dropped(server)
    firewall.apply([], [net(network)], time.time())
    assert world.offender.connects(server)
    firewall.apply([], [net(network)], time.time())


def test_a_ban_of_one_address_spares_its_neighbour(firewall: Firewall, world: World):
    """.10 is banned and .11, on the same link, is not; the same for IPv6."""
    firewall.apply(block("192.0.2.10", "2001:db8:1::10"), [], time.time())
    assert world.offender.dropped(world.v4, source="192.0.2.10")
    assert world.offender.dropped(world.v6, source="2001:db8:1::10")
    assert world.offender.connects(world.v4, source="192.0.2.11")
    assert world.offender.connects(world.v6, source="2001:db8:1::11")


@filters
def test_only_the_ports_named_are_closed(firewall: Firewall, world: World):
    """A ban from mail leaves the web server reachable."""
    firewall.apply(block("192.0.2.10", "2001:db8:1::/64"), [], time.time())
    for address in (world.v4, world.v6):
        assert world.offender.dropped(address, 25)
        assert world.offender.connects(address, 80)


def test_everything_is_closed_where_no_ports_are_named(make, world: World):
    """Without ports, every port and ICMP are dropped."""
    with inside(world.server):
        firewall = make(None)
        firewall.open()
        firewall.apply(block("192.0.2.10"), [], time.time())
        assert world.offender.dropped(world.v4, 25)
        assert world.offender.dropped(world.v4, 80)
        firewall.close()
    assert not pings(world)
    assert world.innocent.connects(world.v4, 80)


def pings(world: World) -> bool:
    """Whether the offender's connect to a port where nobody listens is answered at all."""
    import socket

    with inside(world.offender.name), socket.socket() as sock:
        sock.settimeout(0.4)
        try:
            sock.connect((world.v4, 9))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return True


@filters
def test_more_ports_than_one_rule_holds(make, world: World):
    """Forty ports are as good as three."""
    with inside(world.server):
        firewall = make((*range(2000, 2039), 25))
        firewall.open()
        firewall.apply(block("192.0.2.10"), [], time.time())
        assert world.offender.dropped(world.v4, 25)
        assert world.offender.connects(world.v4, 80)
        firewall.close()


def test_a_second_ban_moves_the_end(firewall: Firewall):
    """A repeat is no error: the new end holds, be it later, sooner or never."""
    now = time.time()
    for end in (now + 100, now + 1000, now + 50, None, now + 70):
        firewall.apply(block("192.0.2.10", "203.0.113.0/24", until=end), [], now)
        for found in firewall.blocked(now).values():
            assert found == end if end is None else found == pytest.approx(end, abs=2)


def test_a_ban_that_is_over_already_blocks_nobody(firewall: Firewall, world: World):
    """An end in the past releases whoever was blocked."""
    now = time.time()
    firewall.apply(block("192.0.2.10", "192.0.2.0/24"), [], now)
    firewall.apply(block("192.0.2.10", "192.0.2.0/24", until=now - 1), [], now)
    assert world.offender.connects(world.v4)
    assert not firewall.blocked(now)


def test_nested_blocks_end_one_by_one(firewall: Firewall, world: World):
    """An address stays blocked until the last block that covers it has ended."""
    now = time.time()
    firewall.apply(block("192.0.0.0/8", "192.0.2.0/24", "192.0.2.10"), [], now)
    assert texts(firewall) == {"192.0.0.0/8", "192.0.2.0/24", "192.0.2.10"}
    for gone in ("192.0.0.0/8", "192.0.2.10"):
        firewall.apply([], [net(gone)], now)
        assert world.offender.dropped(world.v4), gone
    assert texts(firewall) == {"192.0.2.0/24"}
    firewall.apply([], [net("192.0.2.0/24")], now)
    assert world.offender.connects(world.v4)


def test_replace_makes_the_whole(firewall: Firewall, world: World):
    """What is not named is released, what is named is blocked, each until its own end."""
    now = time.time()
    firewall.apply(block("198.51.100.10", "10.0.0.0/8", "2001:db8:2::/64"), [], now)
    wanted = [
        *block("192.0.2.10", "2001:db8:1::/64", until=now + 600),
        *block("203.0.113.0/24", "2001:db8:ffff::/48"),
    ]
    firewall.replace(iter(wanted), now)
    found = firewall.blocked(now)
    assert set(found) == {network for network, _ in wanted}
    assert found[net("203.0.113.0/24")] is None
    assert found[net("192.0.2.10")] == pytest.approx(now + 600, abs=2)
    for address in (world.v4, world.v6):
        assert world.offender.dropped(address)
        assert world.innocent.connects(address)


def test_the_edges_of_the_address_space(firewall: Firewall):
    """The first and the last address, and blocks that reach the edge, are kept exactly."""
    now = time.time()
    edges = [
        *("0.0.0.0/8", "255.0.0.0/8", "255.255.255.255", "0.0.0.0", "128.0.0.0/1"),
        *("::", "::/16", "ff00::/8", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        *("ffff:ffff:ffff:ffff::/64", "10.0.0.0/24", "10.0.1.0/24"),
    ]
    edges = [edge for edge in edges if edge not in ("0.0.0.0", "::")]
    firewall.apply(block(*edges), [], now)
    assert texts(firewall) == set(edges)


@filters
def test_everybody_can_be_blocked(make, world: World):
    """A /0 is a prefix like any other, though ipset has none."""
    with inside(world.server):
        firewall = make()
        firewall.open()
        for _ in range(2):
            firewall.replace(block("0.0.0.0/0", "::/0"), time.time())
            assert texts(firewall) == {"0.0.0.0/0", "::/0"}
            assert not world.innocent.connects(world.v4)
            assert not world.innocent.connects(world.v6)
        firewall.apply([], [net("0.0.0.0/0"), net("::/0")], time.time())
        assert not texts(firewall)
        firewall.close()


def test_blocks_outlive_the_process_that_made_them(make, world: World):
    """Closed and opened again, nothing was let in meanwhile and everything is still known."""
    now = time.time()
    with inside(world.server):
        first = make()
        first.open()
        first.apply(block("192.0.2.10", "192.0.2.0/24", until=now + 900), [], now)
        first.close()
        assert world.offender.dropped(world.v4)
        second = make()
        second.open()
        assert world.offender.dropped(world.v4)
        assert texts(second) == {"192.0.2.10", "192.0.2.0/24"}
        second.apply([], [net("192.0.2.10"), net("192.0.2.0/24")], now)
        assert world.offender.connects(world.v4)
        second.close()


def test_clear_removes_all_that_is_ours_and_nothing_else(firewall: Firewall, world: World):
    """Another's table, chain, rule and set stand; ours are gone."""
    world.run("nft", "-f", "-", given="table inet other { }\n")
    world.run("ipset", "create", "other", "hash:ip")
    world.run("iptables-legacy", "-t", "raw", "-A", "PREROUTING", "-s", "203.0.113.9", "-j", "DROP")
    firewall.apply(block("192.0.2.10"), [], time.time())
    firewall.close(clear=True)
    assert world.offender.connects(world.v4)
    left = world.run("nft", "list", "ruleset") + world.run("iptables-legacy", "-t", "raw", "-S")
    left += world.run("ip", "rule") + world.run("ip", "-6", "rule")
    assert "5376" not in left + world.run("ip", "route", "show", "table", "all")
    assert "guard" not in left.lower()
    assert world.run("ipset", "list", "-n").split() == ["other"]
    assert "table inet other" in left
    assert "203.0.113.9" in left
    firewall.close(clear=True)


def test_open_is_repeatable(firewall: Firewall, world: World):
    """Opened three times there is one rule of each, and who was blocked still is."""
    firewall.apply(block("192.0.2.10"), [], time.time())
    once = rules(world)
    firewall.open()
    firewall.open()
    assert rules(world) == once
    assert world.offender.dropped(world.v4)


def rules(world: World) -> str:
    """Every rule of the server, without counters."""
    listed = world.run("nft", "-s", "list", "ruleset")
    listed += world.run("iptables-legacy", "-t", "raw", "-S")
    return listed + world.run("ip", "rule") + world.run("ip", "-6", "rule")


@filters
@pytest.mark.parametrize("forwarded", [False, True])
def test_what_passes_through_is_closed_only_where_asked(make, world: World, forwarded: bool):
    """A mail server behind this machine: open to a banned host, unless `forwarded` is set."""
    world.listen(25, world.innocent.name)
    world.run("sysctl", "-q", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    with inside(world.server):
        firewall = make(forwarded=forwarded)
        firewall.open()
        firewall.apply(block("192.0.2.10", "2001:db8:1::/64"), [], time.time())
        for behind in (world.innocent.v4, world.innocent.v6):
            assert world.offender.connects(behind) is not forwarded
        for here in (world.v4, world.v6):
            assert world.offender.dropped(here)
        firewall.close()


@filters
def test_a_published_port_is_closed_before_it_is_forwarded(make, world: World):
    """As Docker publishes a port: addressed to this machine, answered by another behind it."""
    world.listen(2525, world.innocent.name)
    world.run("sysctl", "-q", "net.ipv4.ip_forward=1")
    world.run(
        *("nft", "-f", "-"),
        given="add table ip nat\n"
        "add chain ip nat pre { type nat hook prerouting priority -100; }\n"
        "add rule ip nat pre ip daddr 192.0.2.1 tcp dport 587 dnat to 198.51.100.10:2525\n",
    )
    assert world.offender.connects(world.v4, 587)
    with inside(world.server):
        firewall = make()
        firewall.open()
        firewall.apply(block("192.0.2.10"), [], time.time())
        assert world.offender.dropped(world.v4, 587)
        assert world.offender.connects(world.v4, 587, source="192.0.2.11")
        firewall.close()


@filters
def test_what_is_dropped_is_counted_by_set(make, world: World):
    """Packets and bytes of the set that dropped them, and of no other."""
    with inside(world.server):
        firewall = make()
        firewall.open()
        firewall.apply(block("192.0.2.10", "2001:db8::/44"), [], time.time())
        assert set(firewall.dropped().values()) == {(0, 0)}
        for address in (world.v4, world.v6):
            assert world.offender.dropped(address)
        counted = {name: packets for name, (packets, size) in firewall.dropped().items() if size}
        assert set(counted) == {"v4_addresses", "v6_prefixes"}
        firewall.close()


_LAYS = """
import os, signal, sys, time
sys.path[:0] = sys.argv[1:3]
from test_backends import KINDS, block
firewall = KINDS[sys.argv[3]]()
firewall.open()
networks = ("192.0.2.10", "192.0.2.0/24", "2001:db8:1::10", "2001:db8:1::/64")
firewall.apply(block(*networks, until=float(sys.argv[4])), [], time.time())
os.killpg(0, signal.SIGKILL)
"""


@pytest.mark.parametrize("kind", KINDS)
def test_a_ban_ends_on_time_when_nobody_is_there_to_end_it(kind: str, world: World):
    """Laid by a process that was killed before it is over; null routes end by a timer's run."""
    here, until = Path(__file__).parent, time.time() + 4
    lays = (sys.executable, "-c", _LAYS, str(here), str(here.parent), kind, str(until))
    world.run("setsid", "--wait", *lays, check=False)
    world.run(sys.executable, "-m", "guard", "expire")
    if time.time() < until:  # else this machine is too busy to see it
        for address in (world.v4, world.v6):
            assert world.offender.dropped(address) or time.time() > until
    assert eventually(lambda: time.time() > until)

    def is_over(address: str) -> bool:
        if kind == "blackhole":
            world.run(sys.executable, "-m", "guard", "expire")
        return world.offender.connects(address)

    for address in (world.v4, world.v6):
        assert eventually(partial(is_over, address))
