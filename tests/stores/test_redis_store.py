"""What only the store in Redis has to prove: errors, keys, bounds, and readers who were away."""

import pytest
import redis

from guard.events import Claim, Offence, Overflow, Remembered, Window
from guard.lib.networks import parse_network
from guard.roles import Forbidden, Refused, Unavailable
from guard.stores.open import open_store
from guard.stores.redis_batch import index_key, slot_of, text_of
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


def tables_of(network, client):
    """The keys of the tables that may hold a network, as the index of its slot names them."""
    index = index_key(slot_of(text_of(network)))
    return [f"{index}:{name.decode()}" for name in client.zrange(index, 0, -1)]


def test_what_is_counted_is_forgotten_in_time(store, client):
    """Every key of the counters has an end: the power of two above its span, and an hour at most.

    The index of a slot lasts as long as the longest of its tables, and names none that has gone.
    """
    store.counters.count([Offence("relay", A, NOW), Offence("slow", B, NOW)], WINDOWS)
    (relay,), (slow,) = tables_of(A, client), tables_of(B, client)
    assert 2040 <= client.ttl(relay) <= 2 * 1024 + 1
    assert 131072 + 3590 <= client.ttl(slow) <= 131072 + 3601
    store.counters.count([Offence("relay", B, NOW)], WINDOWS)
    assert len(tables_of(B, client)) == 2
    assert client.ttl(index_key(slot_of(text_of(B)))) > 131072
    assert all(client.ttl(key) > 0 for key in client.scan_iter("guard:hits:*"))
    client.zadd(index_key(slot_of(text_of(A))), {"1:1": 1000.0})
    store.counters.count([Offence("relay", A, NOW)], WINDOWS)
    assert tables_of(A, client) == [relay]


def test_a_network_moves_on_with_time_and_is_in_one_table(store, client):
    """What came in one generation is counted in the next, and is not held twice."""
    times = [NOW, NOW + 500.0, NOW + 1100.0, NOW + 1600.0, NOW + 2500.0]
    for number, time in enumerate(times):
        assert store.counters.count([Offence("relay", A, time)], WINDOWS) == []
        assert sum(client.hexists(key, text_of(A)) for key in tables_of(A, client)) == 1
        assert store.counters.counted(A)[-1].time == times[number]
    late = Offence("relay", A, NOW + 2000.0, 2)
    assert store.counters.count([late], WINDOWS) == [Overflow("relay", A, NOW + 2000.0, 3)]


def test_a_batch_may_span_any_time(store):
    """An old log told in one call: each rejection meets those of its own time."""
    times = [NOW + 700.0 * number + second for number in range(40) for second in (0, 1)]
    offences = [Offence("relay", A, time) for time in times] + [Offence("relay", B, NOW, 3)]
    assert store.counters.count(offences, WINDOWS) == [Overflow("relay", B, NOW, 3)]
    held = [Offence("relay", A, times[-2]), Offence("relay", A, times[-1])]
    assert store.counters.counted(A)[-2:] == held


def test_a_filled_window_leaves_nothing(store, client):
    """Who was banned costs no memory in the counters."""
    store.counters.count([Offence("relay", A, NOW, 3)], WINDOWS)
    assert not any(client.hexists(key, text_of(A)) for key in tables_of(A, client))


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
    store.counters.count([Offence("relay", A, NOW)], WINDOWS)
    (table,) = tables_of(A, client)
    for value in (
        b"\xc1",
        b"\x00",
        b"\x05relay\x01\x00",
        b"\x05rel",
        b"\x05\xff\xfelay\x01\x00\x00",
        b"",
    ):
        for offences in (
            [Offence("relay", A, NOW, 3)],
            [Offence("relay", A, NOW)] * 3,
        ):
            client.hset(table, text_of(A), value)
            assert store.counters.counted(A) == []
            assert store.counters.count(offences, WINDOWS)
    for nobodys in (b"\x00\x01\x00", b"\x05relay\x01\x00" + bytes(8) + b"\x00\x01\x00"):
        client.hset(table, text_of(A), nobodys + bytes(8))
        assert store.counters.count([Offence("relay", A, NOW)], WINDOWS) == []
        assert store.counters.count([Offence("relay", A, NOW, 3)], WINDOWS)


@pytest.mark.parametrize(
    "text", ["[[[", "7", "[1]", '{"jail:relay": "x", "jail:auth": 2}', "null", ""]
)
def test_strikes_that_others_spoilt_stop_no_ban(store, client, text):
    """What is no number counts as none; the claim is made, and brings the record into order."""
    client.hset("guard:{ledger}:strikes", "192.0.2.1", text)
    client.zadd("guard:{ledger}:struck", {"192.0.2.1": NOW})
    auth = {"jail:auth": 2} if "auth" in text else {}
    store.ledger.remember([Remembered(A, {"jail:slow": 1}, NOW + 600)])
    (made,) = store.ledger.claim([Claim(A, "jail:relay", "x", NOW, NOW + 600)], NOW)
    assert store.ledger.past([A], NOW)[0].strikes == {"jail:slow": 1, "jail:relay": 1, **auth}
    assert made.strikes == 2 + sum(auth.values())
    client.hset("guard:{ledger}:strikes", "192.0.2.1", text)
    (made,) = store.ledger.claim([Claim(A, "jail:late", "x", NOW, NOW + 600)], NOW)
    assert made.strikes == 1 + sum(auth.values())
