"""What only the store in Redis has to prove: errors, keys, bounds, and readers who were away."""

import pytest
import redis

from guard.events import Claim, Offence, Remembered, Window
from guard.lib.networks import parse_network
from guard.roles import Forbidden, Refused, Unavailable
from guard.stores.open import open_store
from guard.stores.redis_counters import hits_key
from guard.stores.redis_store import RedisStore
from guard.stores.settings import StoreSettings

pytestmark = pytest.mark.redis
NOW = 1_757_675_281.5
A, B = parse_network("192.0.2.1"), parse_network("2001:db8:0:1::/64")
WINDOWS = {"relay": Window(3, 600.0), "slow": Window(9, 86400.0)}


@pytest.fixture
def store(redis_url):
    made = RedisStore(redis_url)
    yield made
    made.close()


@pytest.fixture
def client(redis_url):
    with redis.Redis.from_url(redis_url) as made:
        yield made


def claims(number, start=0, source="jail:relay"):
    networks = (f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(start, start + number))
    return [Claim(parse_network(n), source, "x", NOW, NOW + 600) for n in networks]


def test_redis_that_is_absent_is_unavailable(free, tmp_path):
    """One line that names the place, and no password."""
    for form in ("redis+cluster://me:secret@{}", "redis+sentinel://me:secret@{}/fleet"):
        with pytest.raises(Unavailable, match="does not answer") as e:
            RedisStore(form.format(f"127.0.0.1:{free}"))
        assert "secret" not in str(e.value)
    settings = StoreSettings(url=f"redis://me:secret@127.0.0.1:{free}/0")
    with pytest.raises(
        Unavailable, match=rf"Redis at redis://127.0.0.1:{free}/0 does not answer"
    ) as e:
        open_store(settings, tmp_path)
    assert "secret" not in str(e.value)
    assert "secret" not in repr(settings)


@pytest.fixture
def free():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_password_that_is_wrong_is_said_so(redis_url, client):
    """Not unavailable: waiting would not help."""
    client.acl_setuser("other", enabled=True, passwords=["+right"], commands=["+@all"], keys=["*"])
    host = redis_url.removeprefix("redis://")
    with pytest.raises(Forbidden, match="does not let us in"):
        RedisStore(f"redis://other:wrong@{host}")
    RedisStore(f"redis://other:right@{host}").close()
    client.acl_deluser("other")


def test_another_release_is_refused(store, client, redis_url):
    """A ledger of another format is left alone, also by who opened it before it was changed."""
    store.ledger.claim(claims(1), NOW)
    client.set("guard:{ledger}:schema", "2")
    with pytest.raises(Refused, match="another release"):
        RedisStore(redis_url)
    before = client.hgetall("guard:{ledger}:claims:jail:relay")
    for change in (
        lambda: store.ledger.claim(claims(1, 5), NOW),
        lambda: store.ledger.withdraw(claims(1)[0].network, None, NOW),
        lambda: store.ledger.replace("jail:relay", [], NOW),
        lambda: store.ledger.remember([Remembered(A, {"jail:x": 1}, NOW)]),
    ):
        with pytest.raises(Unavailable, match="has format 2, of another release"):
            change()
    assert client.hgetall("guard:{ledger}:claims:jail:relay") == before


def test_scripts_come_back_after_a_flush(store, client):
    """Redis forgets scripts at a restart; the store brings them again."""
    client.script_flush()
    assert store.counters.count([Offence("relay", A, NOW, 3)], WINDOWS)


def test_what_is_counted_is_forgotten_in_time(store, client):
    """Every key of the counters has an end: twice its window, or the window and an hour."""
    store.counters.count([Offence("relay", A, NOW), Offence("slow", B, NOW)], WINDOWS)
    assert 1190 <= client.ttl(hits_key(A)) <= 1201
    assert 89990 <= client.ttl(hits_key(B)) <= 90001
    store.counters.count([Offence("relay", B, NOW)], WINDOWS)
    assert client.ttl(hits_key(B)) > 89000
    assert all(client.ttl(key) > 0 for key in client.scan_iter("guard:hits:*"))


def test_a_filled_window_leaves_nothing(store, client):
    """Who was banned costs no memory in the counters."""
    store.counters.count([Offence("relay", A, NOW, 3)], WINDOWS)
    assert not client.exists(hits_key(A))


def test_ended_claims_and_forgotten_strikes_leave_redis(store, client):
    """The next claims clear what time has ended, so that memory is bounded by time."""
    store.ledger.claim(claims(50), NOW)
    later = NOW + 661 + 91 * 86400
    store.ledger.claim([Claim(A, "manual", "x", later, None)], later)
    assert client.hlen("guard:{ledger}:claims:jail:relay") == 0
    assert client.zcard("guard:{ledger}:ends") == 0
    assert client.hlen("guard:{ledger}:strikes") == client.zcard("guard:{ledger}:struck") == 0


def test_a_reader_who_was_away_hears_of_all_or_reads_all(store, client):
    """Thousands of changes by others: named while the stream has them, else everything is read."""
    cursor, _ = store.ledger.changes("")
    for start in range(0, 3000, 100):
        store.ledger.claim(claims(100, start), NOW)
    newest, touched = store.ledger.changes(cursor)
    assert touched == {c.network for c in claims(3000)}
    client.xtrim("guard:{ledger}:changes", maxlen=5, approximate=False)
    assert store.ledger.changes(cursor) == (newest, None)
    assert store.ledger.changes(newest) == (newest, set())


def test_a_redis_that_lost_everything_starts_anew(store, client):
    """After FLUSHALL the old cursor says nothing, and the store works on."""
    store.ledger.claim(claims(3), NOW)
    cursor, _ = store.ledger.changes("")
    client.flushall()
    newest, touched = store.ledger.changes(cursor)
    assert touched is None
    assert store.ledger.claims(NOW) == []
    store.ledger.claim(claims(1), NOW)
    assert store.ledger.changes(newest)[1] == {claims(1)[0].network}


def test_a_large_feed_takes_the_place_of_the_old_one_at_once(store, client):
    """Many differences are one rename: nobody ever sees half of a list."""
    cursor, _ = store.ledger.changes("")
    assert store.ledger.replace("feed:x", claims(5000, source="feed:x"), NOW) == (5000, 0)
    assert store.ledger.changes(cursor)[1] is None
    assert store.ledger.replace("feed:x", claims(5000, 2500, "feed:x"), NOW) == (2500, 2500)
    assert {c.network for c in store.ledger.claims(NOW)} == {c.network for c in claims(5000, 2500)}
    assert not list(client.scan_iter("guard:{ledger}:new:*"))
    assert client.ttl("guard:{ledger}:claims:feed:x") == -1


def test_two_hosts_see_one_ledger(redis_url):
    """What one claims the other hears of; a ban that both want at once is one strike."""
    first, second = RedisStore(redis_url), RedisStore(redis_url)
    cursor, _ = second.ledger.changes("")
    (mine,) = first.ledger.claim(claims(1), NOW)
    (theirs,) = second.ledger.claim(
        [Claim(mine.network, "jail:relay", "x", NOW + 2, NOW + 602)], NOW - 3
    )
    assert (theirs.since, theirs.strikes) == (NOW, 1)
    assert second.ledger.changes(cursor)[1] == {mine.network}
    assert first.counters.count([Offence("relay", A, NOW, 2)], WINDOWS) == []
    assert second.counters.count([Offence("relay", A, NOW + 1)], WINDOWS)
    first.close()
    second.close()


def test_no_command_walks_all_keys(store, client, redis_url):
    """KEYS, SCAN and their like are never sent, however large the database is."""
    before = client.info("commandstats")
    store.ledger.claim(claims(3), NOW)
    store.ledger.replace("feed:x", claims(3, 10, "feed:x"), NOW)
    store.ledger.withdraw(None, None, NOW)
    store.ledger.claims(NOW)
    store.counters.count([Offence("relay", A, NOW)], WINDOWS)
    after = client.info("commandstats")
    used = {name for name in after if after[name] != before.get(name)}
    assert not {name for name in used if name in ("cmdstat_keys", "cmdstat_scan", "cmdstat_sort")}
    assert "cmdstat_evalsha" in used


def test_what_others_wrote_is_passed_over(store, client, caplog):
    """Keys are documented, so somebody will write to them: nothing stops, and the rest counts."""
    store.ledger.claim(claims(2), NOW)
    cursor, _ = store.ledger.changes("")
    hash_ = "guard:{ledger}:claims:jail:relay"
    for field, value in (("nonsense", "{}"), ("192.0.2.9", "no JSON"), (b"\xff", b"\xff")):
        client.hset(hash_, field, value)
    client.hset("guard:{ledger}:strikes", str(claims(1)[0].network), "[]")
    client.xadd("guard:{ledger}:changes", {"networks": "192.0.2.1 nonsense"})
    client.xadd("guard:{ledger}:changes", {"other": "x"})
    assert len(store.ledger.claims(NOW)) == 2
    assert "no claim" in caplog.text
    assert store.ledger.past([claims(1)[0].network], NOW)[0].strikes == {}
    assert store.ledger.changes(cursor)[1] is None
    assert store.ledger.replace("jail:relay", claims(2), NOW) == (0, 3)
    client.hset(hash_, b"\xff", b"\xff")
    assert len(store.ledger.withdraw(None, None, NOW)) == 2
    assert not client.exists(hash_)
    for value in (b"\xc1", b"\x93\x01", b"\x01", b"\x81\xa5relay\x01"):
        client.set(hits_key(A), value)
        assert store.counters.counted(A) == []
        assert store.counters.count([Offence("relay", A, NOW, 3)], WINDOWS)
