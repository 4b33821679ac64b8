"""What is particular to null routes; the rest is in test_backends.py."""

import math
import time
from pathlib import Path

import pytest
from netns import World, inside

from guard.events import Block
from guard.firewall.blackhole import Blackhole, reverse_path_filtered
from guard.firewall.routes import Route, Routes, end_of, metric_of
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
@pytest.mark.parametrize("version", [4, 6])
def test_a_rule_ahead_of_ours_is_said(world: World, version: int):
    """It leads packets past our table; one behind it, or one that drops, does not."""
    network, server = ("192.0.2.10", world.v4) if version == 4 else ("2001:db8:1::10", world.v6)
    program = ("ip", f"-{version}", "rule")
    with inside(world.server):
        firewall = Blackhole()
        firewall.open()
        Path("/proc/sys/net/ipv4/conf/all/rp_filter").write_text("1")
        firewall.apply([Block(net(network), None)], [], 1.0)
        for rule in (("200", "lookup", "main"), ("50", "to", "203.0.113.0/24", "prohibit")):
            if version == 4:
                world.run(*program, "add", "pref", *rule)
        assert firewall.warnings() == []
        assert world.offender.dropped(server)
        world.run(*program, "add", "pref", "60", "lookup", "main")
        (warning,) = firewall.warnings()
        assert "preference 60" in warning
        assert world.offender.connects(server)
        world.run(*program, "del", "pref", "60")
        assert firewall.warnings() == []
        assert world.offender.dropped(server)
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


@pytest.mark.parametrize("until", [None, 1757675281.4, 2.0**31, 4e9])
def test_a_route_carries_its_end(until: float | None):
    """In whole seconds, never too early."""
    assert end_of(metric_of(until)) == (None if until is None else math.ceil(until))


def test_an_end_that_no_metric_can_tell_is_the_last_or_the_first():
    """After 2106, and before there were computers: no ban is for ever because of its number."""
    assert end_of(metric_of(1e10)) == 2**32 - 1
    assert end_of(metric_of(5.0)) == 1025


@pytest.mark.root
def test_another_process_knows_when_routes_end(world: World):
    """What an earlier Guard laid ends in its time, by whoever looks."""
    now = time.time()
    blocks = [Block(net(each), now + 600) for each in ("192.0.2.10", "2001:db8:1::/64")]
    with inside(world.server):
        first, second = Blackhole(), Blackhole()
        first.open()
        first.apply([*blocks, Block(net("192.0.2.11"), None)], [], now)
        first.close()
        second.open()
        found = second.blocked(now)
        assert found.pop(net("192.0.2.11")) is None
        assert found == {network: math.ceil(now + 600) for network, _ in blocks}
        second.expire(now + 590)
        assert len(second.blocked(now)) == 3
        second.expire(now + 601)
        assert second.blocked(now) == {net("192.0.2.11"): None}
        second.close()


@pytest.mark.root
def test_a_new_end_leaves_no_old_route(world: World):
    """Longer, shorter, for ever, and back: one route, with no moment in which there is none."""
    now = time.time()
    with inside(world.server):
        firewall = Blackhole()
        firewall.open()
        for end in (now + 100, now + 1000, now + 50, None, now + 70, now + 70.2):
            for network in ("192.0.2.10", "2001:db8:1::10"):
                firewall.apply([Block(net(network), end)], [], now)
            assert len(world.run("ip", "route", "show", "table", "5376").splitlines()) == 1
            assert len(world.run("ip", "-6", "route", "show", "table", "5376").splitlines()) == 1
        firewall.close()


@pytest.mark.root
@pytest.mark.parametrize("network", ["192.0.2.10", "2001:db8:1::/64"])
def test_of_two_routes_the_later_counts(world: World, network: str):
    """As a kill leaves them between the new route and the old; the next start removes one."""
    now = int(time.time())
    program = ("ip", "-6") if ":" in network else ("ip",)
    with inside(world.server):
        firewall = Blackhole()
        firewall.open()
        for metric in (now + 300, now + 900, now + 600):
            world.run(
                *program, *("route", "add", "blackhole", network, "table", "5376"),
                *("metric", str(metric)),
            )  # fmt: skip
        assert firewall.blocked(float(now)) == {net(network): now + 900}
        assert network in firewall.faults()[0]
        firewall.open()
        assert firewall.faults() == []
        listed = world.run(*program, "route", "show", "table", "5376").splitlines()
        assert len(listed) == 1
        assert f"metric {now + 900}" in listed[0]
        firewall.close()


@pytest.mark.root
def test_routes_of_a_release_without_metrics_stay_until_they_are_laid_anew(world: World):
    """They seem to be for ever; nobody gets in on the way."""
    now = time.time()
    with inside(world.server):
        for program, network in ((("ip",), "192.0.2.10"), (("ip", "-6"), "2001:db8:1::/64")):
            world.run(*program, "route", "add", "blackhole", network, "table", "5376")
        firewall = Blackhole()
        firewall.open()
        both = [net("192.0.2.10"), net("2001:db8:1::/64")]
        assert firewall.blocked(now) == dict.fromkeys(both)
        assert world.offender.dropped(world.v4)
        firewall.replace([Block(network, now + 60) for network in both], now)
        firewall.close()
    for program in (("ip",), ("ip", "-6")):
        (line,) = world.run(*program, "route", "show", "table", "5376").splitlines()
        assert f"metric {math.ceil(now + 60)}" in line


@pytest.mark.root
def test_a_full_main_table_is_not_read(world: World):
    """A router's table has a million routes: the kernel is asked for ours."""
    many = "".join(f"route add blackhole 11.{n >> 8}.{n & 255}.0/24\n" for n in range(20_000))
    world.run("ip", "-batch", "-", given=many)
    with inside(world.server):
        routes = Routes()
        dump, seen = routes._netlink.dump_as, []
        routes._netlink.dump_as = lambda *args, **more: seen.append(dump(*args, **more)) or seen[-1]
        routes.add([Route(net("192.0.2.10"), 1024)])
        assert list(routes.listed()) == [Route(net("192.0.2.10"), 1024)]
        assert sum(map(len, seen)) == 1
        routes.close()
