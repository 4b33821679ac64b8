"""Beside the firewalls of others: theirs stay as they are, and none of them lets a banned host in.

Each is laid as the real program lays it, in form if not in full: firewalld's and fail2ban's own
tables, ufw's and Docker's chains, all of them accepting port 25.
"""

import time

import pytest
from netns import World, inside
from packetfilters import PACKET_FILTERS

from guard.events import Block
from guard.firewall.blackhole import Blackhole
from guard.lib.networks import parse_network as net

pytestmark = pytest.mark.root
BACKENDS = {
    **PACKET_FILTERS,
    "blackhole": Blackhole,
}
_FIREWALLD = """
table inet firewalld {
    chain mangle_PREROUTING { type filter hook prerouting priority -140; accept; }
    chain filter_PREROUTING { type filter hook prerouting priority 10; accept; }
    chain filter_INPUT {
        type filter hook input priority 10; policy accept;
        ct state established,related accept
        tcp dport 25 accept
    }
}
"""
_FAIL2BAN = """
table inet f2b-table {
    set addr-set-sshd { type ipv4_addr; elements = { 203.0.113.5 }; }
    chain f2b-chain {
        type filter hook input priority -1; policy accept;
        tcp dport 22 ip saddr @addr-set-sshd reject
    }
}
"""
_CHAINS = [
    ("-t", "filter", "-N", "ufw-before-input"),
    ("-t", "filter", "-A", "INPUT", "-j", "ufw-before-input"),
    ("-t", "filter", "-A", "ufw-before-input", "-p", "tcp", "--dport", "25", "-j", "ACCEPT"),
    ("-t", "filter", "-N", "DOCKER-USER"),
    ("-t", "filter", "-I", "FORWARD", "-j", "DOCKER-USER"),
    ("-t", "nat", "-N", "DOCKER"),
    ("-t", "nat", "-A", "PREROUTING", "-m", "addrtype", "--dst-type", "LOCAL", "-j", "DOCKER"),
]


def others(world: World) -> str:
    """All rules but ours, without what counts."""
    listed = world.run("nft", "-s", "list", "ruleset")
    for program in ("iptables-legacy", "ip6tables-legacy"):
        for table in ("filter", "nat", "raw"):
            listed += world.run(program, "-t", table, "-S")
    return listed


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("program", ["iptables-nft", "iptables-legacy"])
def test_others_stay_and_let_nobody_in(world: World, backend: str, program: str):
    """Guard comes, bans and goes; what was there before is there after, to the letter."""
    world.run("nft", "-f", "-", given=_FIREWALLD + _FAIL2BAN)
    for rule in _CHAINS:
        world.run(program, *rule)
    with inside(world.server):
        warm = BACKENDS[backend]()
        warm.open()
        warm.close(clear=True)
        before = others(world)
        firewall = BACKENDS[backend]()
        firewall.open()
        firewall.apply([Block(net("192.0.2.10"), None)], [], time.time())
        assert world.offender.dropped(world.v4)
        assert world.innocent.connects(world.v4)
        world.run("nft", "-f", "-", given="flush table inet firewalld\n")
        assert world.offender.dropped(world.v4), "a reload of firewalld lets nobody in"
        world.run("nft", "-f", "-", given="delete table inet firewalld\n" + _FIREWALLD)
        firewall.close(clear=True)
    # firewalld's table was made anew, and so is listed last.
    assert sorted(others(world).split("\n")) == sorted(before.split("\n"))
    assert world.offender.connects(world.v4)
