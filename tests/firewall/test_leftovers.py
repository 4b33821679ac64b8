"""A change of back end: nobody gets in on the way, and whoever is released afterwards is free."""

import sys
import time

import pytest
from netns import World, inside

from guard.events import Block
from guard.firewall import leftovers
from guard.firewall.choose import choose
from guard.firewall.ipsetgroup import is_ours
from guard.firewall.separate import separate
from guard.firewall.settings import FirewallSettings
from guard.lib.networks import parse_network as net

pytestmark = pytest.mark.root
BACKENDS = ("nftables", "iptables", "blackhole")
_BANS = [Block(net("192.0.2.10"), None), Block(net("2001:db8:1::/64"), None)]


def laid(world: World, backend: str, bans: list[Block]) -> None:
    """A Guard with that back end starts, lays `bans` as a mirror does, and stops."""
    with inside(world.server):
        firewall = separate(FirewallSettings(backend=backend, ports=(25,))).firewall
        firewall.replace(bans, time.time())
        assert not world.offender.connects(world.v4)
        firewall.tidy()
        firewall.close()


@pytest.mark.parametrize("before", BACKENDS)
@pytest.mark.parametrize("after", BACKENDS)
def test_what_the_back_end_before_laid_goes_when_the_new_one_has_laid_its_own(
    world: World, before: str, after: str
):
    """A ban for ever by each; what stays banned stays blocked, what is released is free."""
    laid(world, before, _BANS)
    laid(world, after, _BANS)
    with inside(world.server):
        assert list(leftovers.found()) == [after]
        firewall = separate(FirewallSettings(backend=after, ports=(25,))).firewall
        assert not world.offender.connects(world.v4)
        firewall.apply([], [net("192.0.2.10")], time.time())
        assert world.offender.connects(world.v4)
        assert not world.offender.connects(world.v6)
        firewall.close(clear=True)
        assert not leftovers.found()
    assert world.offender.connects(world.v6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_dry_run_says_what_is_still_blocked_and_leaves_it(world: World, backend: str):
    """Which back end it was, and the command that shows it."""
    laid(world, backend, _BANS)
    with inside(world.server):
        reason = choose(FirewallSettings(backend="dry-run")).reason
        assert f"whom {backend} blocked before" in reason
        for program, *words in [line.split() for line in leftovers.found().values()]:
            assert world.run(program, *words)
        assert not world.offender.connects(world.v4)


def test_what_another_guard_keeps_is_not_touched(world: World):
    """Null routes beside nftables, each in a process of its own, as for a feed of every port."""
    with inside(world.server):
        routes = separate(FirewallSettings(backend="blackhole")).firewall
        routes.replace(_BANS, time.time())
        main = separate(FirewallSettings(backend="nftables", ports=(80,))).firewall
        main.tidy()
        routes.tidy()
        assert not world.offender.connects(world.v4)
        main.apply(_BANS, [], time.time())
        routes.close()
        main.tidy()
        assert world.offender.connects(world.v4)
        assert not world.offender.connects(world.v4, 80)
        main.close()


def test_the_sets_and_tables_of_others_stay(world: World):
    """A table guard without our sets, an ipset with a name like ours, somebody's routes."""
    world.run("nft", "add", "table", "inet", "guard")
    world.run("ipset", "create", "guard_mine", "hash:ip")
    world.run("ip", "route", "add", "blackhole", "203.0.113.0/24", "table", "77")
    with inside(world.server):
        assert not leftovers.found()
        leftovers.remove("exec")
    assert "guard" in world.run("nft", "list", "tables")
    assert "guard_mine" in world.run("ipset", "list", "-n")
    assert "203.0.113.0" in world.run("ip", "route", "show", "table", "77")


def test_without_the_programs_nobody_stays_blocked(world: World, monkeypatch: pytest.MonkeyPatch):
    """`nft` and python-iptables may be why there is another back end: sets are emptied at least."""
    laid(world, "nftables", _BANS)
    with inside(world.server):
        monkeypatch.setattr("guard.firewall.commands.find", lambda program: None)
        leftovers.remove("blackhole")
        assert world.offender.connects(world.v4)
        monkeypatch.undo()
    laid(world, "iptables", _BANS)
    with inside(world.server):
        monkeypatch.setattr("guard.firewall.commands.find", lambda program: None)
        monkeypatch.setitem(sys.modules, "iptc", None)
        leftovers.remove("blackhole")
        assert world.offender.connects(world.v4)
        assert world.offender.connects(world.v6)


def test_our_sets_are_told_by_name():
    """Those of jails and those of feeds, and no other."""
    for name in ("guard_v4_addresses", "guard_v6_prefixes", "guard_v4_drop_a", "guard_v6_x-1_p"):
        assert is_ours("guard", name)
    for name in ("guard", "guard_mine", "guard_v4_", "guard_v5_drop_a", "other_v4_addresses"):
        assert not is_ours("guard", name)
