"""What is particular to iptables and ipset; the rest is in test_backends.py."""

import time

import pytest
from netns import World, inside

from guard.events import Block
from guard.firewall.iptables import IPTables
from guard.firewall.xtables import Legacy, Nft
from guard.lib.networks import parse_network as net
from guard.roles import Refused

pytestmark = pytest.mark.root


def test_a_block_beyond_ipsets_ceiling_is_laid_for_as_long_as_it_can(world: World):
    """A year is laid for 24.8 days, which `longest` announces; for ever stays for ever."""
    now = time.time()
    with inside(world.server):
        firewall = IPTables((25,))
        firewall.open()
        year = Block(net("192.0.2.10"), now + 365 * 86400)
        firewall.apply([year, Block(net("192.0.2.0/24"), None)], [], now)
        found = firewall.blocked(now)
        assert found[net("192.0.2.10")] == pytest.approx(now + firewall.longest, abs=2)
        assert found[net("192.0.2.0/24")] is None
        firewall.close()


def test_a_stranger_of_our_name_is_not_taken_over(world: World):
    """An ipset that is not as Guard makes it is refused by name."""
    world.run("ipset", "create", "guard_v4_addresses", "hash:mac", check=False)
    world.run("ipset", "create", "guard_v4_addresses", "hash:net", check=False)
    with inside(world.server):
        firewall = IPTables((25,))
        with pytest.raises(Refused, match="guard_v4_addresses"):
            firewall.open()
        firewall.close()


def test_a_set_of_an_older_release_is_taken_over(world: World):
    """Other bounds, the same name: what it holds stays blocked, with its end."""
    made = ("ipset", "create", "guard_v4_addresses", "hash:ip", "timeout", "0", "maxelem", "99")
    world.run(*made)
    world.run("ipset", "add", "guard_v4_addresses", "192.0.2.10", "timeout", "500")
    world.run("ipset", "add", "guard_v4_addresses", "192.0.2.11")
    with inside(world.server):
        firewall = IPTables((25,))
        firewall.open()
        assert world.offender.dropped(world.v4)
        found = firewall.blocked(1000.0)
        assert found[net("192.0.2.10")] == pytest.approx(1500, abs=3)
        assert found[net("192.0.2.11")] is None
        firewall.close()
    assert "_new" not in world.run("ipset", "list", "-n")
    assert "maxelem 99" not in world.run("ipset", "list", "guard_v4_addresses")


@pytest.mark.parametrize(("rules", "program"), [(Legacy, "iptables-legacy"), (Nft, "iptables-nft")])
def test_rules_of_ours_that_somebody_changed_are_laid_again(world: World, rules, program: str):
    """A jump for other ports, a rule for another protocol: there, and yet they block nobody."""
    with inside(world.server):
        firewall = IPTables((25,), rules=rules())
        firewall.open()
        assert firewall.shown_by == program
        firewall.apply([Block(net("192.0.2.10"), None)], [], time.time())
        assert not firewall.faults()
        before = world.run(program, "-t", "raw", "-S")
        for chain, rule in (
            ("PREROUTING", "-p tcp -m multiport --dports 26 -j GUARD"),
            ("GUARD", "-m set --match-set guard_v4_addresses src -p udp -j DROP"),
        ):
            world.run(program, "-t", "raw", "-R", chain, "1", *rule.split())
            assert world.offender.connects(world.v4)
            [fault] = firewall.faults()
            assert "somebody changed" in fault
            firewall.open()
            assert not world.offender.connects(world.v4)
            assert not firewall.faults()
            assert world.run(program, "-t", "raw", "-S") == before
        firewall.close()


def test_not_open_is_said(world: World):
    """A call before open, or after close, is refused."""
    with pytest.raises(Refused, match="not open"):
        IPTables((25,)).blocked(1.0)
