"""Redis goes away and comes back: nothing is lost within the bounds, nobody is banned twice."""

import logging
from contextlib import suppress

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import Nobody

from guard.events import Claim, Good, Kind, Mark, Offence, Overflow, Past, Rejection, Window
from guard.jails.jail import Jail
from guard.lib.networks import parse_network
from guard.pipeline import Pipeline
from guard.protect.restraint import Restraint
from guard.protect.settings import ProtectSettings
from guard.roles import Unavailable
from guard.stores.outbox import Outbox
from guard.stores.redis_store import RedisStore
from guard.stores.shelter import Shelter

pytestmark = pytest.mark.redis
NOW = 1_757_675_281.5
A, B, C = (parse_network(f"192.0.2.{n}") for n in (1, 2, 3))
WINDOWS = {"relay": Window(3, 600.0)}


class Clock:
    """A clock that a test moves."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shelter(redis_server, clock):
    made = Shelter(RedisStore(redis_server.url), bound=10, clock=clock)
    yield made
    made.close()


def jail(network, at=NOW):
    return Claim(network, "jail:relay", "x", at, at + 600)


def hit(network, *times):
    return [Offence("relay", network, NOW + time) for time in times]


def back(redis_server, clock):
    redis_server.start()
    clock.now += 60


def test_counting_goes_on_here_and_is_brought_there(shelter, redis_server, clock):
    """A window that was half full in Redis fills when Redis is back; one that fills here counts."""
    shelter.count(hit(A, 0, 1), WINDOWS)
    redis_server.stop()
    assert shelter.count([*hit(A, 2), *hit(B, 2, 3)], WINDOWS) == []
    assert shelter.counted(B) == hit(B, 2, 3)
    assert shelter.count(hit(B, 4), WINDOWS) == [Overflow("relay", B, NOW + 4, 3)]
    assert "counting here, 4 to be brought" in shelter.said()
    back(redis_server, clock)
    assert shelter.count(hit(C, 5), WINDOWS) == [
        Overflow("relay", A, NOW + 2, 3),
        Overflow("relay", B, NOW + 4, 3),
    ]
    assert (shelter.owed, shelter.said()) == (0, "answers")
    assert shelter.count(hit(C, 6, 7), WINDOWS) == [Overflow("relay", C, NOW + 7, 3)]


def test_what_is_owed_is_judged_by_nobodys_lower_bar(shelter, redis_server, clock):
    """A suspect had a window of one; who waited beside him for Redis keeps his of three."""
    shelter.count(hit(A, 0), WINDOWS)
    redis_server.stop()
    assert shelter.count(hit(A, 1), WINDOWS) == []
    assert shelter.count(hit(B, 1), {"relay": Window(1, 600.0)}) == [
        Overflow("relay", B, NOW + 1, 1)
    ]
    back(redis_server, clock)
    assert shelter.count(hit(C, 2), WINDOWS) == [Overflow("relay", B, NOW + 1, 1)]
    assert shelter.count(hit(A, 3), WINDOWS) == [Overflow("relay", A, NOW + 3, 3)]


def test_redis_is_not_asked_at_every_turn(shelter, redis_server, clock):
    """While it is gone one question in two seconds waits for it, the others do not."""
    redis_server.stop()
    shelter.count(hit(A, 0), WINDOWS)
    redis_server.start()
    shelter.count(hit(A, 1), WINDOWS)
    assert shelter.owed == 2
    clock.now += 3
    assert shelter.count(hit(A, 2), WINDOWS) == [Overflow("relay", A, NOW + 2, 3)]


def test_what_finds_no_room_is_dropped_and_counted(shelter, redis_server, clock):
    """The bound holds, here everything still counts, and the status says how many."""
    redis_server.stop()
    shelter.count([o for n in range(7) for o in hit(A, n)], WINDOWS)
    shelter.count([Offence("relay", B, NOW, 5), *hit(C, *range(4))], WINDOWS)
    assert (shelter.owed, shelter.dropped) == (10, 2)
    back(redis_server, clock)
    shelter.count(hit(C, 9), WINDOWS)
    assert shelter.said() == "answers; 2 rejections dropped"


def test_bans_stay_and_new_ones_are_made_here(shelter, redis_server, clock):
    """The mirror sees both; afterwards the other hosts do too, and each is one strike."""
    cursor, _ = shelter.changes("")
    shelter.claim([jail(A), Claim(C, "manual", "y", NOW, None)], NOW)
    cursor, touched = shelter.changes(cursor)
    assert touched == {A, C}
    assert {c.network for c in shelter.claims(NOW)} == {A, C}
    redis_server.stop()
    assert shelter.changes(cursor)[1] == set()
    (made,) = shelter.claim([jail(B)], NOW)
    away, touched = shelter.changes(cursor)
    assert touched == {B}
    assert shelter.changes(away)[1] == set()
    assert [c.network for c in shelter.claims(NOW)] == [A, C, B]
    assert [c.network for c in shelter.claims(NOW + 601)] == [C]
    assert [len(p.claims) for p in shelter.past([A, B, C], NOW)] == [1, 1, 1]
    with pytest.raises(Unavailable, match="does not answer"):
        shelter.claim([Claim(B, "manual", "y", NOW, None)], NOW)
    with pytest.raises(Unavailable):
        shelter.withdraw(None, None, NOW)
    with pytest.raises(Unavailable):
        shelter.replace("feed:x", [], NOW)
    back(redis_server, clock)
    assert shelter.changes(away)[1] == {B}
    other = RedisStore(redis_server.url)
    assert {c.network for c in other.ledger.claims(NOW)} == {A, B, C}
    assert other.ledger.past([B], NOW)[0].strikes == {"jail:relay": 1}
    other.close()
    assert made.strikes == 1


def test_everybody_is_good_while_nobody_knows(shelter, redis_server):
    """Jails with weak evidence spare whom they cannot ask about; no block is a crowd."""
    redis_server.stop()
    (good,) = shelter.known([A])
    assert good is not None
    assert good.time > NOW
    assert shelter.join(parse_network("192.0.2.0/24"), A, NOW, 60.0) == 0
    shelter.note([good])


def test_the_whole_way_through_an_outage(shelter, redis_server, clock, caplog):
    """Who fills a window while Redis is gone is banned then, once; and one word in the log each."""
    jails = [Jail(name="relay", filter="relay", kinds=frozenset([Kind.RELAY_DENIED]))]
    pipeline = Pipeline(jails, shelter, shelter, Nobody())

    def hear(*times):
        return pipeline.hear(
            [Rejection(NOW + t, "192.0.2.1", Kind.RELAY_DENIED) for t in times], NOW + times[-1]
        )

    assert hear(0, 1) == []
    redis_server.stop()
    assert hear(2, 3, 4) == []
    assert len(hear(5, 6)) == 1
    assert hear(7, 8, 9, 10, 11) == []
    back(redis_server, clock)
    assert hear(12) == []
    assert [c.since for c in shelter.claims(NOW + 12)] == [NOW + 6]
    said = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(said) == 2


def test_a_password_that_was_changed_is_as_if_redis_were_gone(shelter, redis_server, clock):
    """Somebody rotates it, or takes our rights: what comes is counted here, and nothing is lost."""
    shelter.count(hit(A, 0), WINDOWS)
    with redis.Redis.from_url(redis_server.url, password="new") as operator:
        redis.Redis.from_url(redis_server.url).config_set("requirepass", "new")
        operator.client_kill_filter(_type="normal", skipme=True)
        assert shelter.count(hit(A, 1), WINDOWS) == []
        assert "does not let us in" in shelter.said()
        with pytest.raises(Unavailable):
            shelter.claim([Claim(A, "manual", "x", NOW, None)], NOW)
        operator.config_set("requirepass", "")
    clock.now += 60
    assert shelter.count(hit(A, 2), WINDOWS) == [Overflow("relay", A, NOW + 2, 3)]
    assert shelter.said() == "answers"


def test_a_quiet_night_without_redis_is_one_line(shelter, redis_server, clock, caplog):
    """Where nothing is owed nothing is brought; Redis is asked all the same whether it is back."""
    redis_server.stop()
    assert shelter.past([A], NOW) == [Past((), {})]
    for _ in range(5):
        clock.now += 60
        assert shelter.count((), WINDOWS) == []
        assert "does not answer" in shelter.said()
    assert len(caplog.records) == 1
    back(redis_server, clock)
    shelter.count((), WINDOWS)
    assert shelter.said() == "answers"
    assert [r.getMessage()[:19] for r in caplog.records[1:]] == ["Redis answers again"]


def test_a_window_that_fills_when_redis_is_back_bans_without_another_rejection(
    shelter, redis_server, clock
):
    """Half before, half while Redis was gone: the ban follows when it is back, by itself."""
    jails = [Jail(name="relay", filter="relay", kinds=frozenset([Kind.RELAY_DENIED]))]
    pipeline = Pipeline(jails, shelter, shelter, Nobody())
    heard = [Rejection(NOW + t, "192.0.2.1", Kind.RELAY_DENIED) for t in range(5)]
    pipeline.hear(heard[:3], NOW)
    redis_server.stop()
    assert pipeline.hear(heard[3:], NOW + 4) == []
    assert pipeline.catch_up(NOW + 5) == []
    back(redis_server, clock)
    shelter.changes("")
    assert [c.network for c in pipeline.catch_up(NOW + 6)] == [A]
    assert pipeline.catch_up(NOW + 7) == []


@pytest.mark.parametrize("calls", range(20))
def test_a_ban_that_was_put_off_outlives_one_more_loss(
    redis_url, tmp_path, clock, monkeypatch, calls
):
    """Redis comes back, and is gone again with the disk full in the midst of what waited."""
    jails = [
        Jail(name="relay", filter="relay", kinds=frozenset([Kind.RELAY_DENIED])),
        Jail(name="recidive", filter="recidive", window=Window(1, 600.0), bantime=None),
    ]
    flaky = Flaky(RedisStore(redis_url))
    shelter = Shelter(flaky, Outbox(tmp_path), clock=clock)
    restraint = Restraint(ProtectSettings(), shelter, shelter)
    pipeline = Pipeline(jails, shelter, shelter, Nobody(), restraint=restraint)

    def heard(*last):
        return [
            Rejection(NOW + t, f"192.0.2.{n}", Kind.RELAY_DENIED) for t in range(5) for n in last
        ]

    pipeline.hear(heard(1, 2)[:-2], NOW + 3, Mark("log", b"1"))
    flaky.left = 0
    pipeline.hear(heard(1, 2)[-2:], NOW + 4, Mark("log", b"2"))

    def full(*_):
        raise Unavailable("cannot write: No space left on device")

    flaky.left, clock.now = calls, clock.now + 60
    with monkeypatch.context() as patch, suppress(Unavailable):
        patch.setattr(shelter._outbox, "banned", full)
        shelter.changes("")
        pipeline.catch_up(NOW + 5)
    flaky.left, clock.now = 10**9, clock.now + 60
    shelter.changes("")
    pipeline.catch_up(NOW + 6)
    pipeline.hear(heard(3), NOW + 8, Mark("log", b"3"))
    pipeline.catch_up(NOW + 9)
    claims = flaky.ledger.claims(NOW + 9)
    assert sorted((str(c.network), c.source, c.strikes) for c in claims) == [
        (f"192.0.2.{n}", f"jail:{jail}", strikes)
        for n in (1, 2, 3)
        for jail, strikes in (("recidive", 2), ("relay", 1))
    ]
    assert shelter._outbox.open == []
    shelter.close()


def test_closing_brings_what_is_owed(redis_server, clock):
    """A daemon that stops when Redis is back leaves nothing behind."""
    shelter = Shelter(RedisStore(redis_server.url), clock=clock)
    redis_server.stop()
    shelter.count(hit(A, 0, 1), WINDOWS)
    redis_server.start()
    shelter.close()
    store = RedisStore(redis_server.url)
    assert store.counters.counted(A) == hit(A, 0, 1)
    store.close()


class Flaky:
    """A real store whose parts are gone from the moment when `left` calls were made."""

    def __init__(self, store):
        self.left = 10**9
        self.counters, self.ledger = _Part(self, store.counters), _Part(self, store.ledger)
        self.standing, self.crowds = _Part(self, store.standing), _Part(self, store.crowds)
        self.close = store.close


class _Part:
    def __init__(self, flaky, part):
        self._flaky, self._part = flaky, part

    def __getattr__(self, name):
        self._flaky.left -= 1
        if self._flaky.left < 0:
            raise Unavailable("Redis at x does not answer")
        return getattr(self._part, name)


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("calls", range(9))
def test_a_ban_that_was_due_when_redis_went_is_made(redis_url, tmp_path, clock, calls, killed):
    """Whose standing could not be asked is spared until it can be; with a daemon killed, too."""
    jails = [Jail(name="relay", filter="relay", kinds=frozenset([Kind.RELAY_DENIED]))]
    real = RedisStore(redis_url)
    real.standing.note([Good(B, NOW - 60, "mail")])
    flaky = Flaky(real)
    shelter = Shelter(flaky, Outbox(tmp_path), clock=clock)

    def play(shelter):
        restraint = Restraint(ProtectSettings(), shelter, shelter)
        return Pipeline(jails, shelter, shelter, Nobody(), restraint=restraint)

    pipeline = play(shelter)
    heard = [
        Rejection(NOW + t, f"192.0.2.{n}", Kind.RELAY_DENIED) for t in range(5) for n in (1, 2)
    ]
    pipeline.hear(heard[:-2], NOW + 3, Mark("log", b"1"))
    flaky.left = calls
    pipeline.hear(heard[-2:], NOW + 4, Mark("log", b"2"))
    pipeline.catch_up(NOW + 5)
    if killed:
        shelter._outbox.close()
        shelter = Shelter(real, Outbox(tmp_path), clock=clock)
        pipeline = play(shelter)
    flaky.left, clock.now = 10**9, clock.now + 60
    shelter.changes("")
    for later in (6, 7):
        pipeline.catch_up(NOW + later)
    assert [(c.network, c.since, c.strikes) for c in real.ledger.claims(NOW + 7)] == [
        (A, NOW + 4, 1)
    ]
    assert shelter._outbox.open == []
    shelter.close()


steps = st.lists(
    st.one_of(
        st.tuples(st.just("hit"), st.sampled_from([A, B, C]), st.integers(1, 3)),
        st.tuples(st.just("ban"), st.sampled_from([A, B, C]), st.just(0)),
        st.tuples(st.just("gone after"), st.none(), st.integers(0, 4)),
        st.tuples(st.just("back"), st.none(), st.just(0)),
    ),
    max_size=40,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(history=steps)
def test_whatever_comes_and_goes_everything_arrives_once(redis_url, history):
    """Outages that begin anywhere, also while what was missed is being brought: nothing is lost."""
    real = RedisStore(redis_url)
    real._link.client.flushall()
    flaky, clock = Flaky(real), Clock()
    shelter = Shelter(flaky, clock=clock)
    windows, at, hits, bans = {"relay": Window(10**6, 1e6)}, NOW, [], set()
    for verb, network, number in history:
        at += 1
        clock.now += 5
        if verb == "hit":
            offences = [Offence("relay", network, at)] * number
            assert shelter.count(offences, windows) == []
            hits += offences
        elif verb == "ban":
            (made,) = shelter.claim([jail(network, NOW)], NOW)
            assert (made.since, made.network) == (NOW, network)
            bans.add(network)
        else:
            flaky.left = number if verb == "gone after" else 10**9
    flaky.left, clock.now = 10**9, clock.now + 5
    shelter.changes("")
    assert (shelter.said(), shelter.owed) == ("answers", 0)
    for network in (A, B, C):
        assert real.counters.counted(network) == [o for o in hits if o.network == network]
    assert {c.network for c in real.ledger.claims(NOW)} == bans
    assert all(c.strikes == 1 for c in real.ledger.claims(NOW))
    real.close()
