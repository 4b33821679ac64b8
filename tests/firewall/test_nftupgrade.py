"""Another release's table becomes this one's, and nobody gets in meanwhile."""

import pytest
from netns import World, inside

from guard.firewall.nftables import NFTables
from guard.firewall.nftlayout import SETS, Layout, script
from guard.lib.networks import parse_network as net

pytestmark = pytest.mark.root
_OLDER = """
table inet guard {
    set banned4 { type ipv4_addr; flags timeout; elements = { 192.0.2.10 timeout 500s }; }
    set banned6 { type ipv6_addr; flags timeout; elements = { 2001:db8:1::10, 2001:db8:1::11 }; }
    set v4_prefixes {
        type ipv4_addr; flags interval
        elements = { 203.0.113.0/24, 10.0.0.0-10.0.2.255, 10.9.9.9 }
    }
    set ports { type inet_service; elements = { 25 }; }
    chain input {
        type filter hook input priority 0; policy accept;
        ip saddr @banned4 drop
        ip6 saddr @banned6 drop
    }
}
"""


def test_what_an_older_table_held_stays_blocked(world: World):
    """Addresses, ranges and ends go along; its chains and sets are gone."""
    world.run("nft", "-f", "-", given=_OLDER)
    with inside(world.server):
        firewall = NFTables((25,))
        firewall.open()
        for address in (world.v4, world.v6):
            assert world.offender.dropped(address)
            assert world.innocent.connects(address)
        found = firewall.blocked(1000.0)
        assert found.pop(net("192.0.2.10")) == pytest.approx(1500, abs=5)
        assert set(map(str, found)) == {
            *("2001:db8:1::10", "2001:db8:1::11", "203.0.113.0/24"),
            *("10.0.0.0/23", "10.0.2.0/24", "10.9.9.9"),
        }
        assert firewall.faults() == []
        listed = world.run("nft", "list", "table", "inet", "guard")
        assert "banned4" not in listed
        assert "chain input" not in listed
        firewall.close()


def test_todays_table_is_left_as_it_is(world: World):
    """Opening does not make anew what is right, down to the elements' clocks."""
    world.run("nft", "-f", "-", given=script(Layout((25,))))
    world.run("nft", "add", "element", "inet", "guard", "v4_addresses", "{ 192.0.2.10 }")
    before = handles(world)
    with inside(world.server):
        firewall = NFTables((25,))
        firewall.open()
        firewall.close()
    assert handles(world) == before
    assert len(before) == len(SETS)


def handles(world: World) -> list[str]:
    """The sets, each with the number that it keeps as long as it is the same set."""
    listed = world.run("nft", "-a", "list", "sets").splitlines()
    return [line for line in listed if "set v" in line]
