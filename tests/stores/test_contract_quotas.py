"""What `Quotas` promises, held against a file and against Redis."""

import threading

import pytest

from guard.lib.redis_url import parse_redis_url
from guard.roles import Unavailable
from guard.stores.quotas import RedisQuotas, open_quotas
from guard.stores.redis_link import RedisLink
from guard.stores.settings import StoreSettings

DAY = 86400.0
MIDNIGHT = 1_757_635_200.0  # 2025-09-12 00:00 UTC
NOON = MIDNIGHT + DAY / 2


@pytest.fixture(params=["embedded", "redis"])
def reopened(request, tmp_path):
    """Opens the quotas, each time another of those who share them."""
    url = request.getfixturevalue("redis_url") if request.param == "redis" else None
    opened = []

    def one():
        opened.append(open_quotas(StoreSettings(url=url), tmp_path / "state"))
        return opened[-1]

    yield one
    for quotas in opened:
        quotas.close()


@pytest.fixture
def quotas(reopened):
    return reopened()


def test_a_day_has_its_limit(quotas):
    """What is granted never sums to more; the rest is granted in part."""
    assert quotas.take("report", 1000, 1, NOON) == 1
    assert quotas.take("report", 1000, 700, NOON) == 700
    assert quotas.left("report", 1000, NOON) == 299
    assert quotas.take("report", 1000, 700, NOON) == 299
    assert quotas.take("report", 1000, 1, NOON) == 0
    assert quotas.left("report", 1000, NOON) == 0


def test_names_are_apart(quotas):
    """The quota of one endpoint is not that of another."""
    assert quotas.take("report", 1, 1, NOON) == 1
    assert quotas.take("check", 1, 1, NOON) == 1


def test_the_day_is_that_of_utc(quotas):
    """The last second of a day is old, midnight is new."""
    assert quotas.take("report", 5, 5, MIDNIGHT - 0.001) == 5
    assert quotas.take("report", 5, 9, MIDNIGHT) == 5
    assert quotas.take("report", 5, 1, MIDNIGHT + DAY - 0.001) == 0
    assert quotas.left("report", 5, MIDNIGHT + DAY) == 5


def test_what_the_service_says_counts(quotas):
    """When another program spends of the same key; never the other way."""
    quotas.told("report", 1000, 10, NOON)
    assert quotas.left("report", 1000, NOON) == 10
    quotas.told("report", 1000, 900, NOON)
    assert quotas.left("report", 1000, NOON) == 10
    quotas.told("report", 1000, 0, NOON)
    assert quotas.take("report", 1000, 1, NOON) == 0


def test_a_limit_that_shrank_grants_nothing(quotas):
    """A smaller plan from one call to the next."""
    assert quotas.take("report", 1000, 500, NOON) == 500
    assert quotas.take("report", 100, 1, NOON) == 0
    assert quotas.left("report", 100, NOON) == 0


def test_once_within(quotas):
    """The first may, the next may not until the time is over; keys are apart."""
    assert quotas.once("report", "192.0.2.1", 900.0, NOON)
    assert not quotas.once("report", "192.0.2.1", 900.0, NOON + 899.9)
    assert quotas.once("report", "2001:db8::1", 900.0, NOON)
    assert quotas.once("report", "192.0.2.1", 900.0, NOON + 900.0)
    assert not quotas.once("report", "192.0.2.1", 900.0, NOON + 901.0)


def test_a_refusal_does_not_move_the_time(quotas):
    """Who asks again and again gets in when the time is over."""
    assert quotas.once("report", "a", 900.0, NOON)
    assert not any(quotas.once("report", "a", 900.0, NOON + at) for at in range(60, 900, 60))
    assert quotas.once("report", "a", 900.0, NOON + 900.0)


def test_what_was_not_done_is_undone(quotas):
    """A call that never reached the service."""
    assert quotas.once("report", "a", 900.0, NOON)
    quotas.undo("report", "a")
    assert quotas.once("report", "a", 900.0, NOON + 1)
    quotas.undo("report", "never")


def test_a_restart_forgets_nothing(reopened):
    """Another process goes on where the first was."""
    first = reopened()
    first.take("report", 10, 4, NOON)
    first.once("report", "a", 900.0, NOON)
    first.close()
    second = reopened()
    assert second.left("report", 10, NOON) == 6
    assert not second.once("report", "a", 900.0, NOON + 1)


def test_many_at_once_never_overrun(reopened):
    """Six takers of two processes' worth of objects; each grant is granted once."""
    takers = [reopened(), reopened()]
    granted, firsts, start = [], [], threading.Barrier(6)

    def spend(quotas):
        start.wait()
        for n in range(40):
            granted.append(quotas.take("report", 100, 3, NOON))
            firsts.append(quotas.once("report", f"a{n}", 900.0, NOON))

    threads = [threading.Thread(target=spend, args=(takers[n % 2],)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(granted) == 100
    assert sum(firsts) == 40


@pytest.mark.redis
def test_redis_gone_is_unavailable(redis_server):
    """Who does not know what others spent spends nothing."""
    quotas = RedisQuotas(RedisLink(parse_redis_url(redis_server.url)))
    redis_server.stop()
    try:
        for ask in (
            lambda: quotas.take("report", 10, 1, NOON),
            lambda: quotas.left("report", 10, NOON),
            lambda: quotas.once("report", "a", 900.0, NOON),
            lambda: quotas.told("report", 10, 1, NOON),
        ):
            with pytest.raises(Unavailable):
                ask()
    finally:
        quotas.close()


@pytest.mark.redis
def test_redis_keys_end_and_foreign_values_are_nothing(redis_url):
    """Nothing is left behind, and what another program wrote stops nobody."""
    import redis

    quotas = RedisQuotas(RedisLink(parse_redis_url(redis_url)))
    try:
        quotas.take("report", 10, 1, NOON)
        quotas.once("report", "a", 900.0, NOON)
        with redis.Redis.from_url(redis_url) as client:
            for name in client.keys("*"):
                assert 0 < client.ttl(name) <= 3 * DAY
            client.set("guard:quota:report:2025-09-12", b"\xff nonsense")
            client.set("guard:once:report:a", b"nonsense")
        assert quotas.left("report", 10, NOON) == 10
        assert quotas.take("report", 10, 1, NOON) == 1
        assert quotas.once("report", "a", 900.0, NOON)
    finally:
        quotas.close()
