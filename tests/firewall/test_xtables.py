"""Rules are split as iptables needs it, and what would let a packet pass is noticed."""

import sys

import pytest
from netns import World, inside

from guard.firewall.xtables import Legacy, Nft, chunks, passing
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
        made.install(4, ["guard_x"], (25,), forwarded=False)
        made.install(4, ["guard_x"], (25, 26), forwarded=True)
        assert made.rules(4) == ["GUARD", "ACCEPT"]
        listed = world.run(program, "-t", "raw", "-S")
        assert "-A GUARD -m set --match-set guard_x src -j DROP" in listed
        assert "-A PREROUTING -p tcp -m multiport --dports 25,26 -j GUARD" in listed
        made.remove(4)
        made.remove(4)
        assert made.rules(4) == ["ACCEPT"]
    assert world.run(program, "-t", "raw", "-S") == before
