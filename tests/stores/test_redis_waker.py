"""Whoever waits for a change hears of each, at once, and of none that he has heard of."""

import threading
import time

import pytest

from guard.events import Claim
from guard.lib.networks import parse_network
from guard.roles import Unavailable
from guard.stores.redis_store import RedisStore
from guard.stores.redis_waker import RedisWaker

pytestmark = pytest.mark.redis
NOW = 1_757_675_281.5


def claim(number):
    return Claim(parse_network(f"192.0.2.{number}"), "manual", "x", NOW, None)


def test_a_change_ends_the_wait(redis_url):
    """One that came between two waits too; several are heard of together."""
    store, waker = RedisStore(redis_url), RedisWaker(redis_url)
    assert waker.wait(4.0)  # what there is at first
    assert not waker.wait(0.01)
    for number in range(3):
        store.ledger.claim([claim(number)], NOW)
    assert waker.wait(4.0)
    assert not waker.wait(0.01)
    woken = threading.Event()
    waiting = threading.Thread(target=lambda: waker.wait(4.0) and woken.set())
    begun = time.monotonic()
    waiting.start()
    store.ledger.withdraw(claim(1).network, None, NOW)
    waiting.join(10)
    assert woken.is_set()
    assert time.monotonic() - begun < 3.0  # not by the end of the wait
    waker.close()
    store.close()


def test_redis_gone_is_unavailable(redis_server):
    """And when it is back, with or without what it held, the wait goes on."""
    store, waker = RedisStore(redis_server.url), RedisWaker(redis_server.url)
    assert waker.wait(1.0)
    redis_server.stop()
    with pytest.raises(Unavailable):
        waker.wait(1.0)
    redis_server.start()
    assert not waker.wait(0.01)
    store.ledger.claim([claim(1)], NOW)
    assert waker.wait(4.0)
    waker.close()
    store.close()
