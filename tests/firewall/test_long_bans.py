"""Bans that outlast what a back end can count: in force, without alarm, and renewed in time."""

import time

import pytest
from netns import World, inside
from packetfilters import PACKET_FILTERS
from support import Nobody, documented_firewall

from guard.events import Claim
from guard.firewall.blackhole import Blackhole
from guard.firewall.exec import Exec
from guard.firewall.mirror import Mirror
from guard.firewall.separate import separate
from guard.firewall.settings import FirewallSettings
from guard.lib.networks import parse_network as net
from guard.stores.embedded_ledger import EmbeddedLedger

pytestmark = pytest.mark.root
KINDS = {
    **PACKET_FILTERS,
    "blackhole": Blackhole,
    "exec": lambda: Exec([str(documented_firewall())]),
    "separate": lambda: separate(FirewallSettings(backend="iptables")).firewall,
}
YEAR = 365 * 86400.0
LENGTHS = (60 * 86400.0, 10 * YEAR, 200 * YEAR, 1000 * YEAR, None)


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_however_long_a_ban_is_kernel_and_ledger_agree(make, world: World):
    """Months, years, ages and for ever, of addresses and prefixes; also after a restart."""
    now = time.time()
    ledger = EmbeddedLedger(None, 3600.0)
    bans = ("192.0.2.10", "2001:db8:1::/64", "203.0.113.0/24", "203.0.113.9", "2001:db8:2::7")
    for network, length in zip(bans, LENGTHS, strict=True):
        until = None if length is None else now + length
        ledger.claim([Claim(net(network), "manual", "", now, until)], now)
    with inside(world.server):
        for _ in range(2):
            firewall = make()
            mirror = Mirror(ledger, firewall, Nobody())
            mirror.start(now)
            for _ in range(3):
                report = mirror.reconcile(time.time())
                assert report[:4] == (5, 5, 0, 0)
                assert not mirror.alarm
            for address in (world.v4, world.v6):
                assert world.offender.dropped(address)
            firewall.close()
        clear = make()
        clear.open()
        ends = [end for end in clear.blocked(now).values() if end is not None]
        clear.close(clear=True)
    # Whoever can count no further counts this far, and is told again at half of it.
    assert min(ends, default=now + YEAR) > now + 24 * 86400
