"""Every ban ends at once, and whoever asked is told of them in pieces."""

import pytest

from guard.events import Claim
from guard.lib.networks import Network, parse_network
from guard.roles import Unavailable
from guard.stores.redis_store import RedisStore
from guard.stores.shelter import ShelteredStore

pytestmark = pytest.mark.redis
NOW = 1_757_675_281.5
DAY = 86400.0
FIRST = parse_network("45.0.0.0").value
MANY = [Network(4, FIRST + n, 32) for n in range(5000)] + [parse_network("2001:db8::/64")]


@pytest.fixture(params=["redis", "valkey"])
def url(request):
    return request.getfixturevalue(f"{request.param}_url")


def claims(source, networks=MANY, until=NOW + DAY):
    return [Claim(network, source, "x", NOW, until) for network in networks]


def test_all_are_gone_with_the_first_piece(url):
    """For other hosts, too, which hear of it in one word; then each is told of once."""
    store, other = ShelteredStore(url), RedisStore(url)
    made = store.ledger.claim(claims("jail:a"), NOW)
    cursor, _ = other.ledger.changes("")
    pieces = store.shelter.empty(NOW + 5)
    assert next(pieces).claims == []
    assert (other.ledger.claims(NOW + 5), other.ledger.size(NOW + 5)) == ([], 0)
    assert other.ledger.changes(cursor)[1] is None
    told = [claim for piece in pieces for claim in piece.claims]
    assert len(told) == len(MANY)
    assert set(told) == set(made)
    assert store.shelter._known == {}
    with_keys = other._link.client.keys("guard:{ledger}:*")
    assert not [key for key in with_keys if b"gone" in key or b"claims" in key or b"ends" in key]
    store.close()
    other.close()


def test_strikes_count_their_age_from_then(url):
    """As of a ban that is ended by itself, for ever or not; a new ban meanwhile keeps its own."""
    store = RedisStore(url, strikes_kept=10 * DAY)
    store.ledger.claim(claims("jail:a", MANY[:4000]), NOW)
    store.ledger.claim(claims("jail:a", MANY[4000:], None), NOW)
    pieces = store.ledger.empty(NOW + 60)
    next(pieces)
    anew, old, ever = MANY[7], MANY[8], MANY[4500]
    store.ledger.claim(claims("jail:b", [anew], NOW + 5 * DAY), NOW + 61)
    list(pieces)
    asked = [anew, old, ever]
    for later, expected in (
        (60 + 10 * DAY - 1, [{"jail:a": 1, "jail:b": 1}, {"jail:a": 1}, {"jail:a": 1}]),
        (61 + 10 * DAY, [{"jail:a": 1, "jail:b": 1}, {}, {}]),
        (15 * DAY + 1, [{}, {}, {}]),
    ):
        pasts = store.ledger.past(asked, NOW + later)
        assert [past.strikes for past in pasts] == expected
    store.close()


def test_who_is_claimed_still_is_said(url):
    """By a source whose turn is to come, or once more: nobody is told that he is free."""
    store = RedisStore(url)
    twice, anew = MANY[3], MANY[4]
    store.ledger.claim(claims("jail:a"), NOW)
    store.ledger.claim(claims("manual", [twice], None), NOW)
    pieces = store.ledger.empty(NOW + 5)
    next(pieces)
    store.ledger.claim(claims("jail:c", [anew]), NOW + 6)
    free: list[Network] = []
    for piece in pieces:
        free += [claim.network for claim in piece.claims if claim.network not in piece.held]
    assert sorted(free) == sorted(set(MANY) - {anew})
    assert [claim.network for claim in store.ledger.claims(NOW + 7)] == [anew]
    assert store.ledger.size(NOW + 7) == 1
    store.close()


def test_abandoned_they_are_ended_all_the_same(url):
    """And what was put aside does not stay in Redis."""
    store = RedisStore(url)
    store.ledger.claim(claims("jail:a"), NOW)
    pieces = store.ledger.empty(NOW + 5)
    next(pieces)
    pieces.close()
    assert store.ledger.claims(NOW + 5) == []
    (left,) = store._link.client.keys("guard:{ledger}:gone:*")
    assert 3000 < store._link.client.ttl(left) <= 3600
    store.close()


def test_lists_are_emptied_too(url):
    """A feed's claims, which have no strikes; the feed brings them again."""
    store = RedisStore(url)
    feed = claims("feed:x", MANY, None)
    store.ledger.replace("feed:x", feed, NOW)
    assert len(store.ledger.withdraw(None, None, NOW)) == len(MANY)
    assert store.ledger.replace("feed:x", feed, NOW + 1) == (len(MANY), 0)
    store.close()


def test_redis_gone_is_unavailable(redis_server):
    """Before, or in the middle of it: whoever asked hears so."""
    store = ShelteredStore(redis_server.url)
    store.ledger.claim(claims("jail:a"), NOW)
    pieces = store.shelter.empty(NOW + 5)
    next(pieces)
    redis_server.stop()
    with pytest.raises(Unavailable):
        list(pieces)
    with pytest.raises(Unavailable):
        next(store.shelter.empty(NOW + 6))
    store.close()
