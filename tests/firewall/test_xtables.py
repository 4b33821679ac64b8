"""Rules are split as iptables needs it, and what would let a packet pass is noticed."""

import sys

import pytest
from netns import World, inside

from guard.firewall.xtables import Legacy, Nft, Plan, chunks, passing
from guard.roles import Refused


def test_ports_are_split_fifteen_a_rule():
    """xt_multiport holds no more; no ports are one rule for all."""
    assert chunks(None) == [None]
    assert [len(part) for part in chunks(range(1, 41))] == [15, 15, 10]


def test_only_an_accepting_rule_ahead_of_ours_matters():
    """A drop or a count before our jump lets nobody pass; an ACCEPT may."""
    assert passing(["GUARD", "ACCEPT"]) == []
    assert passing(["DROP", "", "ACCEPT", "GUARD"]) == ["ACCEPT"]
    assert passing(["ACCEPT"]) == ["ACCEPT"]


def test_without_python_iptables_the_operator_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
):
    """The extra is named as pip takes it."""
    monkeypatch.setitem(sys.modules, "iptc", None)
    with pytest.raises(Refused, match=r"pip install 'guard-smtp\[iptables\]'"):
        Legacy()


@pytest.mark.root
@pytest.mark.parametrize(("rules", "program"), [(Legacy, "iptables-legacy"), (Nft, "iptables-nft")])
def test_our_jump_goes_first_and_others_stay(world: World, rules, program: str):
    """Beside another's rules ours come first, and theirs are as before when ours have gone."""
    world.run("ipset", "create", "guard_x", "hash:ip")
    world.run(program, "-t", "raw", "-A", "PREROUTING", "-p", "tcp", "-j", "ACCEPT")
    before = world.run(program, "-t", "raw", "-S")
    with inside(world.server):
        made = rules()
        made.install(4, Plan(["guard_x"]), (25,))
        made.install(4, Plan(["guard_x"], forwarded=True), (25, 26))
        assert made.rules(4) == ["GUARD", "ACCEPT"]
        listed = world.run(program, "-t", "raw", "-S")
        assert "-A GUARD -m set --match-set guard_x src -j DROP" in listed
        assert "-A PREROUTING -p tcp -m multiport --dports 25,26 -j GUARD" in listed
        made.remove(4)
        made.remove(4)
        assert made.rules(4) == ["ACCEPT"]
    assert world.run(program, "-t", "raw", "-S") == before


@pytest.mark.root
@pytest.mark.parametrize(("rules", "program"), [(Legacy, "iptables-legacy"), (Nft, "iptables-nft")])
def test_what_is_listed_is_looked_up_behind_and_dropped_anyway(world: World, rules, program: str):
    """A chain for it comes and goes with the plan, and is told as it is when it was changed."""
    for name in ("guard_x", "guard_all", "guard_a", "guard_b"):
        world.run("ipset", "create", name, "hash:ip")
    world.run("ipset", "add", "guard_all", world.offender.v4)
    plan = Plan(["guard_x"], ["guard_all"], ["guard_a", "guard_b"])
    with inside(world.server):
        made = rules()
        for _ in range(2):
            made.install(4, plan, (25,))
            assert made.sets(4) == plan.sets == ["guard_x", "guard_all", "guard_a", "guard_b", ""]
        assert not world.offender.connects(world.v4)
        assert made.counters(4)["guard_all"][0] > 0
        assert made.counters(4)["guard_a"] == (0, 0)
        world.run("ipset", "add", "guard_b", world.offender.v4)
        assert not world.offender.connects(world.v4)
        assert made.counters(4)["guard_b"][0] > 0
        assert world.innocent.connects(world.v4)
        world.run(program, "-t", "raw", "-D", "GUARD_FEEDS", "2")
        assert made.sets(4) != plan.sets
        made.install(4, Plan(["guard_x"]), (25,))
        assert made.sets(4) == ["guard_x"]
        assert "GUARD_FEEDS" not in world.run(program, "-t", "raw", "-S")
        made.install(4, plan, (25,))
        made.remove(4)
        assert "GUARD" not in world.run(program, "-t", "raw", "-S")
