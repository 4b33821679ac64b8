"""The world of namespaces tells the truth: tests of firewalls are worth what its probes are."""

import time
from collections.abc import Iterator

import pytest
from netns import World, inside, reachable_world

from guard.events import Block
from guard.firewall.nftables import NFTables
from guard.lib.networks import parse_network

pytestmark = pytest.mark.root


@pytest.fixture
def world() -> Iterator[World]:
    """A server and two hosts that reach it."""
    with reachable_world() as made:
        yield made


@pytest.mark.parametrize("source", [None, "neighbour"])
def test_who_is_let_in_was_never_dropped(world: World, source: str | None):
    """However often one asks, over both families, from each host, of open and closed ports."""
    for host in (world.offender, world.innocent):
        for address in (world.v4, world.v6):
            whence = None
            if source and host is world.offender:
                whence = "192.0.2.11" if address == world.v4 else "2001:db8:1::11"
            for _ in range(20):
                assert not host.dropped(address, 25, whence)
                assert not host.dropped(address, 80, whence)
                assert not host.dropped(address, 81, whence)


def test_one_gap_between_two_blocks_is_seen(world: World):
    """A block that comes and goes is seen coming and going, each time, without a wait."""
    blocks = [Block(parse_network(each), None) for each in ("192.0.2.10", "2001:db8:1::/64")]
    with inside(world.server):
        firewall = NFTables((25,))
        firewall.open()
        began = time.monotonic()
        for _ in range(20):
            firewall.apply(blocks, [], time.time())
            assert world.offender.dropped(world.v4)
            assert world.offender.dropped(world.v6)
            assert not world.innocent.dropped(world.v4)
            firewall.apply([], [each for each, _ in blocks], time.time())
            assert not world.offender.dropped(world.v4)
            assert not world.offender.dropped(world.v6)
        # A wait for an answer that does not come takes twenty times as long.
        assert time.monotonic() - began < 10
        firewall.close()
