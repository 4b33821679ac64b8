"""What is particular to null routes; the rest is in test_backends.py."""

import time
from pathlib import Path

import pytest
from netns import World, inside

from guard.events import Block
from guard.firewall.blackhole import Blackhole, reverse_path_filtered
from guard.lib.networks import Network
from guard.lib.networks import parse_network as net


def test_the_larger_of_all_and_the_interface_counts(tmp_path: Path):
    """rp_filter is on when every interface is filtered, by itself or by `all`."""
    for all_, eth0, expected in ((0, 0, False), (1, 0, True), (0, 2, True)):
        for name, value in (("all", all_), ("eth0", eth0), ("lo", 0), ("default", 0)):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / "rp_filter").write_text(f"{value}\n")
        assert reverse_path_filtered(tmp_path) is expected


@pytest.mark.root
def test_without_rp_filter_the_operator_is_told(world: World):
    """The first packets of a banned host reach the listener then; with it they do not."""
    with inside(world.server):
        firewall = Blackhole()
        firewall.open()
        for value, warned in (("0", True), ("1", False)):
            for name in ("all", "e0", "e1"):
                Path(f"/proc/sys/net/ipv4/conf/{name}/rp_filter").write_text(value)
            assert bool(firewall.warnings()) is warned
            before = drops(world)
            firewall.apply([Block(net("192.0.2.10"), None)], [], time.time())
            assert world.offender.dropped(world.v4)
            assert (drops(world) > before) is not warned
        firewall.close()


def drops(world: World) -> int:
    """How many packets the server dropped because it could not answer them."""
    head, values = [
        line.split()
        for line in world.run("cat", "/proc/net/netstat").splitlines()
        if line.startswith("TcpExt:")
    ]
    return int(values[head.index("IPReversePathFilter")])


@pytest.mark.root
@pytest.mark.parametrize("kind", ["blackhole", "unreachable", "throw", "local"])
@pytest.mark.parametrize("network", ["198.51.100.10", "2001:db8:2::10"])
def test_what_somebody_else_puts_into_our_table_goes(world: World, kind: str, network: str):
    """A null route as a foreign block, by its release; any other as a fault, by `open`."""
    program = ("ip", "-6") if ":" in network else ("ip",)
    with inside(world.server):
        firewall = Blackhole()
        firewall.open()
        firewall.apply([Block(net("192.0.2.10"), None)], [], 1.0)
        device = ("dev", "lo") if kind == "local" else ()
        world.run(*program, "route", "add", kind, network, "table", "5376", *device)
        if kind == "blackhole":
            assert set(firewall.blocked(1.0)) == {net("192.0.2.10"), net(network)}
            assert not firewall.faults()
            firewall.apply([], [net(network)], 1.0)
        else:
            assert set(firewall.blocked(1.0)) == {net("192.0.2.10")}
            assert network in firewall.faults()[0]
            firewall.open()
        assert set(firewall.blocked(1.0)) == {net("192.0.2.10")}
        assert not firewall.faults()
        assert network not in world.run(*program, "route", "show", "table", "5376")
        firewall.close()


@pytest.mark.root
def test_an_end_that_was_moved_counts_as_moved(world: World):
    """The first end of a ban that was extended releases nothing."""
    with inside(world.server):
        firewall = Blackhole()
        firewall.open()
        for end in (110.0, 150.0, 120.0):
            firewall.apply([Block(net("192.0.2.10"), end)], [], 100.0)
        firewall.expire(115.0)
        assert firewall.blocked(115.0) == {net("192.0.2.10"): 120.0}
        firewall.expire(120.0)
        assert firewall.blocked(120.0) == {}
        firewall.close()


@pytest.mark.root
def test_a_rule_that_somebody_removed_is_a_fault(world: World):
    """Without the rule nobody looks into our table; open puts it back."""
    with inside(world.server):
        firewall = Blackhole()
        firewall.open()
        assert firewall.faults() == []
        world.run("ip", "rule", "del", "pref", "100")
        assert "IPv4" in firewall.faults()[0]
        firewall.open()
        assert firewall.faults() == []
        firewall.close()


@pytest.mark.root
def test_routes_of_others_are_not_ours(world: World):
    """A blackhole route in the main table is neither reported nor removed."""
    with inside(world.server):
        world.run("ip", "route", "add", "blackhole", "203.0.113.0/24")
        firewall = Blackhole()
        firewall.open()
        many = [Block(Network(4, 0x0A000000 + n, 32), None) for n in range(3000)]
        firewall.replace(many, 1.0)
        assert len(firewall.blocked(1.0)) == 3000
        firewall.replace([], 1.0)
        assert firewall.blocked(1.0) == {}
        assert "203.0.113.0/24" in world.run("ip", "route")
        firewall.close()
