"""Dropped where a device takes packets in, before the rest of the kernel's firewall sees them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from netns import World, inside, ip

from guard.events import Block
from guard.firewall.choose import choose
from guard.firewall.nftables import NFTables
from guard.firewall.nftlayout import Layout, script
from guard.firewall.settings import FirewallSettings
from guard.lib.networks import parse_network as net

pytestmark = pytest.mark.root
OFFENDER, SIX = Block(net("192.0.2.10"), None), Block(net("2001:db8:1::/64"), None)
# Sees whatever gets past a device, before the chain of Guard at prerouting.
_PROBE = """
table inet probe {
    chain first {
        type filter hook prerouting priority -450
        ip saddr 192.0.2.10 counter
    }
}
"""


def opened(*devices: str, forwarded: bool = True) -> NFTables:
    """The back end, open."""
    made = NFTables((25,), forwarded=forwarded, devices=devices)
    made.open()
    return made


@contextmanager
def probed(world: World) -> Iterator[None]:
    """The thread in the server's namespace, with a counter at prerouting."""
    world.run("nft", "-f", "-", given=_PROBE)
    with inside(world.server):
        yield


def passed(world: World) -> int:
    """How many packets of the offender reached prerouting so far."""
    listed = world.run("nft", "list", "table", "inet", "probe").split()
    return int(listed[listed.index("packets") + 1])


def test_packets_of_the_banned_never_reach_prerouting(world: World):
    """Both families, counted by set; other ports, and the innocent, go through."""
    with probed(world):
        firewall = opened("e0", "e1")
        firewall.apply([OFFENDER, SIX], [], time.time())
        before = passed(world)
        for address in (world.v4, world.v6):
            assert world.offender.dropped(address)
        assert passed(world) == before
        dropped = firewall.dropped()
        assert dropped["v4_addresses"][0] > 0
        assert dropped["v6_subnets"][0] > 0
        assert world.offender.connects(world.v4, 80)
        assert passed(world) > before
        assert world.innocent.connects(world.v4)
        firewall.apply([], [OFFENDER.network], time.time())
        assert world.offender.connects(world.v4)
        firewall.close(clear=True)


def test_who_comes_in_by_another_device_is_dropped_at_prerouting(world: World):
    """The chain there stays: a list of devices that is not complete lets nobody in."""
    with probed(world):
        firewall = opened("e1")
        firewall.apply([OFFENDER], [], time.time())
        before = passed(world)
        assert world.offender.dropped(world.v4)
        assert passed(world) > before
        firewall.close(clear=True)


def test_the_hook_may_change_and_nobody_gets_in(world: World):
    """From prerouting to ingress, to other devices and back; elements and counters stay."""
    with probed(world):
        first = opened(forwarded=False)
        first.apply([OFFENDER], [], time.time())
        first.close()
        counted = 0
        for devices in ((), ("e0",), ("e0", "e1"), ("e1",), ()):
            firewall = opened(*devices)
            before = passed(world)
            assert world.offender.dropped(world.v4)
            assert (passed(world) == before) == ("e0" in devices)
            assert firewall.dropped()["v4_addresses"][0] > counted
            counted = firewall.dropped()["v4_addresses"][0]
            assert firewall.faults() == []
            assert ("entrance" in world.run("nft", "list", "ruleset")) == bool(devices)
            firewall.close()


def test_a_device_that_goes_and_comes_is_hooked_again(world: World):
    """While it is away that is a warning; it is back by itself (Linux 6.16) or after a fault."""
    with probed(world):
        world.run("ip", "link", "add", "e7", "type", "veth", "peer", "name", "e8")
        firewall = opened("e0", "e7")
        firewall.apply([OFFENDER], [], time.time())
        assert firewall.warnings() == []
        world.run("ip", "link", "delete", "e7")
        assert "no device e7" in firewall.warnings()[0]
        if firewall.faults():
            firewall.open()
        assert firewall.faults() == []
        before = passed(world)
        assert world.offender.dropped(world.v4)
        assert passed(world) == before
        world.run("ip", "link", "add", "e7", "type", "veth", "peer", "name", "e8")
        if firewall.faults():
            firewall.open()
        assert firewall.faults() == firewall.warnings() == []
        listed = world.run("nft", "list", "chain", "inet", "guard", "entrance")
        assert "e7" in listed
        assert "e0" in listed
        firewall.close(clear=True)


def test_without_any_of_its_devices_it_drops_at_prerouting(world: World):
    """Opening does not fail: a device may come up after Guard."""
    with probed(world):
        firewall = opened("nope0")
        firewall.apply([OFFENDER], [], time.time())
        assert world.offender.dropped(world.v4)
        assert "no device nope0" in firewall.warnings()[0]
        assert firewall.faults() == []
        firewall.close(clear=True)


def test_somebody_who_removes_the_hook_is_noticed(world: World):
    """As with every other chain of ours."""
    with probed(world):
        firewall = opened("e0")
        world.run("nft", "delete", "chain", "inet", "guard", "entrance")
        assert firewall.disturbed()
        assert "entrance" in firewall.faults()[0]
        firewall.open()
        assert firewall.faults() == []
        firewall.close(clear=True)


def test_a_table_without_an_entrance_is_an_older_release_s(world: World):
    """It gets one, and keeps whom it blocked."""
    lines = script(Layout((25,))).splitlines()
    older = "\n".join(line for line in lines if "entrance" not in line)
    world.run("nft", "-f", "-", given=older + "\n")
    world.run("nft", "add", "element", "inet", "guard", "v4_addresses", "{ 192.0.2.10 }")
    with probed(world):
        firewall = opened("e0")
        assert world.offender.dropped(world.v4)
        assert passed(world) == 0
        firewall.close(clear=True)


def test_the_reason_names_where_packets_are_dropped(world: World):
    """So that an operator sees in `guard status` whether the choice has ingress."""
    settings = FirewallSettings(backend="auto", hook="ingress", devices=("e0",), forwarded=True)
    with inside(world.server):
        firewall, reason = choose(settings)
        assert "at the ingress of e0" in reason
        firewall.close(clear=True)


def test_settings_that_contradict_are_named():
    """Devices without the hook, a hook without devices, what is forwarded, names, back ends."""

    def keys(**given):
        return {key for key, _ in FirewallSettings(backend="nftables", **given).faults()}

    assert keys(hook="ingress", devices=("eth0", "br-lan.5"), forwarded=True) == set()
    assert keys(hook="ingress", forwarded=True) == {"devices"}
    assert keys(devices=("eth0",)) == {"devices"}
    assert keys(hook="ingress", devices=("eth0",)) == {"hook"}
    for bad in ('e"; flush ruleset; "', "", "x" * 16, "a b"):
        assert keys(hook="ingress", devices=(bad,), forwarded=True) == {"devices"}
    others = FirewallSettings(backend="iptables", hook="ingress", devices=("e0",), forwarded=True)
    assert [key for key, _ in others.faults()] == ["hook"]


def test_a_host_behind_this_one_is_closed_to_the_banned(world: World):
    """That is what `forwarded = true` says."""
    world.listen(25, world.innocent.name)
    ip("netns", "exec", world.server, "sysctl", "-q", "net.ipv4.ip_forward=1")
    assert world.offender.connects(world.innocent.v4)
    with inside(world.server):
        firewall = opened("e0")
        firewall.apply([OFFENDER], [], time.time())
        assert world.offender.dropped(world.innocent.v4)
        firewall.close(clear=True)
