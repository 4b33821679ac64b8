"""Good standing, the same in memory, on disk and in Redis."""

import pytest

from guard.events import Good
from guard.lib.networks import parse_network
from guard.protect.settings import LONGEST_STANDING
from guard.stores.settings import STANDING_KEPT

A, B, SIX = (parse_network(t) for t in ("185.4.0.7", "185.4.0.8", "2a03:1:2:3::/64"))
DAY = 86400.0


def test_the_newest_sign_is_known(store):
    """Each network has its own, exactly; a stranger has none; order does not matter."""
    store.standing.note(
        [Good(A, 2 * DAY, "mail"), Good(A, DAY, "auth"), Good(SIX, DAY, "delivery")]
    )
    assert store.standing.known([A, B, SIX]) == [
        Good(A, 2 * DAY, "mail"),
        None,
        Good(SIX, DAY, "delivery"),
    ]
    assert store.standing.known([]) == []
    store.standing.note([Good(A, 3 * DAY, "auth")])
    assert store.standing.known([A]) == [Good(A, 3 * DAY, "auth")]


def test_a_busy_peer_is_written_once_an_hour(store):
    """What is known may be late by an hour, and no more."""
    store.standing.note([Good(A, DAY, "mail")])
    store.standing.note([Good(A, DAY + 3599, "mail")])
    assert store.standing.known([A]) == [Good(A, DAY, "mail")]
    store.standing.note([Good(A, DAY + 3600, "mail")])
    assert store.standing.known([A]) == [Good(A, DAY + 3600, "mail")]


def test_standing_outlives_the_process(reopened):
    """And an old sign of a late source does not displace a newer one."""
    first = reopened()
    first.standing.note([Good(A, DAY, "mail")])
    first.close()
    second = reopened()
    assert second.standing.known([A]) == [Good(A, DAY, "mail")]


def test_an_embedded_store_forgets_what_is_old(tmp_path):
    """After 90 days without a sign the row is gone; the newest never is displaced by an older."""
    from guard.stores.embedded import EmbeddedStore

    store = EmbeddedStore(tmp_path)
    try:
        store.standing.note([Good(A, DAY, "mail")])
        store.standing.note([Good(B, DAY + STANDING_KEPT + 1, "mail")])
        assert store.standing.known([A]) == [None]
    finally:
        store.close()
    store = EmbeddedStore(tmp_path)
    try:
        store.standing.note([Good(B, DAY, "auth")])
        assert store.standing.known([B]) == [Good(B, DAY + STANDING_KEPT + 1, "mail")]
    finally:
        store.close()


@pytest.mark.redis
def test_redis_forgets_by_itself_and_survives_what_others_write(redis_url):
    """Keys expire; a value that is none is nobody's standing."""
    import redis

    from guard.stores.redis_store import RedisStore

    store = RedisStore(redis_url)
    try:
        store.standing.note([Good(A, DAY, "mail")])
        with redis.Redis.from_url(redis_url) as client:
            name = "guard:standing:{185.4.0.7}"
            assert 0 < client.ttl(name) <= STANDING_KEPT
            client.set(name, b"\xff nonsense")
        assert store.standing.known([A]) == [None]
    finally:
        store.close()


def test_the_longest_setting_is_what_the_store_keeps():
    """A setting that promises more than the store holds is refused."""
    assert LONGEST_STANDING == STANDING_KEPT
