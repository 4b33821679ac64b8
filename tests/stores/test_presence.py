"""guard/stores/presence.py: what listeners beside a daemon count, in a real Redis."""

import pytest

from guard.lib.redis_url import parse_redis_url
from guard.stores.presence import FRESH, KEPT, KEY, Presence
from guard.stores.redis_link import RedisLink

pytestmark = pytest.mark.redis


@pytest.fixture
def link(redis_url):
    """A connection to a Redis of this test."""
    made = RedisLink(parse_redis_url(redis_url))
    yield made
    made.close()


def test_processes_of_a_listener_are_summed(link):
    """Those of this host, that live."""
    here, there = Presence(link, "one"), Presence(link, "two")
    for process in range(3):
        rows = {"0.0.0.0:25": {"connections": process, "max_errors": 1}, "[::]:25": {"x": 1}}
        here.tell(process, rows, 1000.0)
    there.tell(0, {"0.0.0.0:25": {"connections": 99}}, 1000.0)
    here.tell(0, {}, 1000.0)
    assert here.told(1001.0) == [
        {"name": "0.0.0.0:25", "connections": 3, "max_errors": 3},
        {"name": "[::]:25", "x": 3},
    ]
    assert there.told(1001.0) == [{"name": "0.0.0.0:25", "connections": 99}]
    here.tell(2, {"0.0.0.0:25": {"connections": 7}}, 1000.0 + FRESH)
    assert here.told(1000.0 + FRESH) == [{"name": "0.0.0.0:25", "connections": 7}]


def test_what_is_old_or_no_word_is_removed(link):
    """Nothing stays for ever; what somebody else wrote there is nothing."""
    here = Presence(link, "one")
    here.tell(0, {"0.0.0.0:25": {"connections": 1}}, 1000.0)
    link.client.hset(KEY, mapping={b"\xff": b"{", b"one": b'{"time":1000.0,"counts":{}}'})
    assert here.told(1001.0) == [{"name": "0.0.0.0:25", "connections": 1}]
    assert link.client.hlen(KEY) == 2
    assert here.told(1001.0 + KEPT) == []
    assert link.client.hlen(KEY) == 0
