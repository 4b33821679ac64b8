"""A million elements, and a hundred thousand bans across a restart.

Bounded in time by what is known of these machines, many times over: a quadratic step would be seen.
"""

import resource
import time
from collections.abc import Iterator

import pytest
from netns import World, inside
from support import Nobody, documented_firewall

from guard.events import Block, Claim
from guard.firewall.blackhole import Blackhole
from guard.firewall.exec import Exec
from guard.firewall.iptables import IPTables
from guard.firewall.mirror import Mirror
from guard.firewall.nftables import NFTables
from guard.lib.networks import Network
from guard.lib.networks import parse_network as net
from guard.roles import Firewall
from guard.stores.embedded_ledger import EmbeddedLedger

pytestmark = pytest.mark.root
OFFENDER = net("192.0.2.10")
SETS = {"nftables": lambda: NFTables((25,)), "iptables": lambda: IPTables((25,))}
KERNELS = {**SETS, "blackhole": Blackhole}
ALL = {**KERNELS, "exec": lambda: Exec([str(documented_firewall())])}


def many(count: int, now: float) -> Iterator[Block]:
    """`count` addresses, spread, of which no host of the tests has one."""
    for number in range(count):
        yield Block(Network(4, 0x0B000000 + number * 41, 32), now + 3600 + number % 1000)


@pytest.mark.parametrize("make", KERNELS.values(), ids=KERNELS)
def test_a_million_addresses(world: World, make):
    """Laid in one go within bounded memory; one more ban works at once and drops packets."""
    now = time.time()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with inside(world.server):
        firewall: Firewall = make()
        firewall.open()
        firewall.replace(many(1_000_000, now), now)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400 * 1024
        assert world.offender.connects(world.v4)
        began = time.monotonic()
        for _ in range(100):
            firewall.apply([Block(OFFENDER, None)], [], now)
            firewall.apply([], [OFFENDER], now)
        assert time.monotonic() - began < 2
        firewall.apply([Block(OFFENDER, None)], [], now)
        assert world.offender.dropped(world.v4)
        assert world.innocent.connects(world.v4)
        firewall.close()


@pytest.mark.parametrize("make", ALL.values(), ids=ALL)
def test_a_restart_with_a_hundred_thousand_bans(world: World, make):
    """Blocked before, during and after; the second start finds the kernel as it left it."""
    now = time.time()
    ledger = EmbeddedLedger(None, 3600.0)
    claims = [Claim(net, "feed:big", "", now, until) for net, until in many(100_000, now)]
    ledger.replace("feed:big", [*claims, Claim(OFFENDER, "manual", "", now, None)], now)
    with inside(world.server):
        for _ in range(2):
            firewall: Firewall = make()
            mirror = Mirror(ledger, firewall, Nobody())
            mirror.start(time.time())
            assert world.offender.dropped(world.v4)
            assert len(firewall.blocked(now)) == 100_001
            assert mirror.reconcile(time.time()).clean
            firewall.close()
            assert world.offender.dropped(world.v4)
