"""Both make-ups of iptables lay our chains, leave others' alone and read them as they are."""

import re
import sys

import pytest
from netns import World, inside

from guard.firewall.chains import Plan, entries, laid, passing
from guard.firewall.xtables import Legacy, Nft
from guard.roles import Refused


def sets(rules) -> list[str]:
    """The set of each rule of our chains, empty for one without."""
    found = [re.search(r"guard_\w+", step.text) for step in laid(rules.chains(4))]
    return [each[0] if each else "" for each in found]


@pytest.mark.root
@pytest.mark.parametrize(("rules", "program"), [(Legacy, "iptables-legacy"), (Nft, "iptables-nft")])
def test_others_chains_are_read_as_they_are(world: World, rules, program: str):
    """Jumps, gotos, rules without a target, and a comment that looks like one."""
    for rule in (
        "-N MINE",
        "-A MINE -p tcp -j ACCEPT",
        "-A PREROUTING -s 203.0.113.1",
        "-A PREROUTING -m comment --comment|it's no -j ACCEPT|-j MINE",
        "-A PREROUTING -p udp -g MINE",
    ):
        first, *quoted = rule.split("|")
        words = [*first.split(), *quoted[:1], *" ".join(quoted[1:]).split()]
        world.run(program, "-t", "raw", *words)
    with inside(world.server):
        chains = rules().chains(4)
    assert [step[:2] for step in chains["PREROUTING"]] == [
        ("", False),
        ("MINE", False),
        ("MINE", True),
    ]
    assert passing(chains) == ["ACCEPT in MINE", "goto MINE"]


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
        assert [step.target for step in made.chains(4)["PREROUTING"]] == ["GUARD", "ACCEPT"]
        listed = world.run(program, "-t", "raw", "-S")
        assert "-A GUARD -m set --match-set guard_x src -j DROP" in listed
        assert "-A PREROUTING -p tcp -m multiport --dports 25,26 -j GUARD" in listed
        made.remove(4)
        made.remove(4)
        assert not entries(made.chains(4))
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
            assert sets(made) == ["guard_x", "guard_all", "guard_a", "guard_b", ""]
        assert world.offender.dropped(world.v4)
        assert made.counters(4)["guard_all"][0] > 0
        assert made.counters(4)["guard_a"] == (0, 0)
        world.run("ipset", "add", "guard_b", world.offender.v4)
        assert world.offender.dropped(world.v4)
        assert made.counters(4)["guard_b"][0] > 0
        assert world.innocent.connects(world.v4)
        world.run(program, "-t", "raw", "-D", "GUARD_FEEDS", "2")
        assert sets(made) == ["guard_x", "guard_all", "guard_a", ""]
        made.install(4, Plan(["guard_x"]), (25,))
        assert sets(made) == ["guard_x"]
        assert "GUARD_FEEDS" not in world.run(program, "-t", "raw", "-S")
        made.install(4, plan, (25,))
        made.remove(4)
        assert "GUARD" not in world.run(program, "-t", "raw", "-S")


@pytest.mark.root
@pytest.mark.parametrize(("rules", "program"), [(Legacy, "iptables-legacy"), (Nft, "iptables-nft")])
def test_some_sets_close_every_port(world: World, rules, program: str):
    """By a chain of their own, which comes and goes; others still close theirs alone."""
    for name in ("guard_x", "guard_y"):
        world.run("ipset", "create", name, "hash:ip")
    world.run("ipset", "add", "guard_x", world.offender.v4)
    plan = Plan(["guard_x"], everywhere=["guard_y"])
    with inside(world.server):
        made = rules()
        for _ in range(2):
            made.install(4, plan, (25,))
            assert [step.target for step in entries(made.chains(4))] == [
                "GUARD",
                "GUARD_EVERYWHERE",
            ]
        assert world.offender.dropped(world.v4, 25)
        assert world.offender.connects(world.v4, 80)
        world.run("ipset", "add", "guard_y", world.offender.v4)
        assert world.offender.dropped(world.v4, 80)
        assert world.innocent.connects(world.v4, 80)
        assert made.counters(4)["guard_y"][0] > 0
        made.install(4, Plan(["guard_x"]), (25,))
        assert world.offender.connects(world.v4, 80)
        assert "GUARD_EVERYWHERE" not in world.run(program, "-t", "raw", "-S")
        made.install(4, plan, (25,))
        made.remove(4)
        assert "GUARD" not in world.run(program, "-t", "raw", "-S")
