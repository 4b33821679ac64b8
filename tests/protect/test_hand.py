"""`guard allow` on one host lets in on every other, in the kernel, at once."""

import pytest

from guard.events import Claim, Permit
from guard.firewall.dryrun import DryRun
from guard.firewall.mirror import Mirror
from guard.lib.networks import parse_network
from guard.lib.redis_url import connect, parse_redis_url
from guard.protect.hand import Hand
from guard.protect.protection import Protectors
from guard.stores.permits import FilePermits, RedisPermits
from guard.stores.redis_store import RedisStore

ADDRESS, BLOCK = parse_network("185.4.0.7"), parse_network("185.4.0.0/24")
NOW = 1_757_675_281.5


def test_the_layer_is_what_the_store_says(tmp_path):
    """With its reason, until it ends or is ended."""
    protectors = Protectors()
    hand = Hand(FilePermits(tmp_path), protectors)
    hand.allow(Permit(ADDRESS, NOW, NOW + 60, "a customer"))
    hand.allow(Permit(parse_network("185.5.0.0/16"), NOW, None, ""))
    assert protectors.protects(BLOCK) == "allowed by hand: a customer"
    assert protectors.protects(parse_network("185.5.5.5")) == "allowed by hand"
    hand.refresh(NOW + 60)
    assert protectors.protects(BLOCK) is None
    assert hand.disallow(parse_network("185.5.0.0/16"), NOW + 60)
    assert not hand.disallow(parse_network("185.5.0.0/16"), NOW + 60)
    assert protectors.protects(parse_network("185.5.5.5")) is None


@pytest.mark.redis
def test_every_host_of_a_fleet_lets_in(redis_url, tmp_path):
    """Two hosts with a ledger and an allow list in one Redis, each with a firewall of its own."""
    hosts, opened = [], []
    try:
        for name in "ab":
            store, client = RedisStore(redis_url), connect(parse_redis_url(redis_url))
            opened += [store, client]
            protectors, firewall = Protectors(), DryRun()
            permits = RedisPermits(client, "test", FilePermits(tmp_path / name))
            mirror = Mirror(store.ledger, firewall, protectors)
            mirror.start(NOW)
            hosts.append((store, Hand(permits, protectors), mirror, firewall))
        (store, hand, _, _), other = hosts
        store.ledger.claim([Claim(ADDRESS, "jail:x", "", NOW, NOW + 600)], NOW)
        for _, _, mirror, firewall in hosts:
            mirror.step(NOW)
            assert set(firewall.blocked(NOW)) == {ADDRESS}
        hand.allow(Permit(ADDRESS, NOW, None, ""))
        for _, each, mirror, firewall in hosts:
            each.refresh(NOW + 1)
            mirror.step(NOW + 1)
            assert firewall.blocked(NOW + 1) == {}
        assert other[1].disallow(ADDRESS, NOW + 2)
        for _, each, mirror, firewall in hosts:
            each.refresh(NOW + 2)
            mirror.step(NOW + 2)
            assert set(firewall.blocked(NOW + 2)) == {ADDRESS}
    finally:
        for each in opened:
            each.close()
