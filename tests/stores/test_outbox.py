"""What a host owes Redis is told once: over kills, lost answers, full disks and damaged files."""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_shelter import NOW, A, B, C, Clock, back, hit, jail

from guard.events import Batch, Mark, Overflow, Part, Window
from guard.roles import Refused, Unavailable
from guard.stores.outbox import NAME, Outbox
from guard.stores.redis_store import RedisStore
from guard.stores.shelter import Shelter

WINDOWS = {"relay": Window(3, 600.0)}
FULL = Overflow("relay", A, NOW + 2, 3)


def batch(offences, place=b"", *, settled=False):
    return Batch((Part(offences, WINDOWS),), Mark("log-1", place), settled)


def again(outbox, folder):
    """The outbox as the next process finds it."""
    outbox.close()
    return Outbox(folder)


def test_what_is_owed_is_there_after_a_kill(tmp_path):
    """Batches, marks, claims; what was answered is owed no more, its overflows until settled."""
    outbox = Outbox(tmp_path)
    first = outbox.note(batch(hit(A, 0, 1, 2), b"one"))
    outbox.note(batch(hit(B, 0), b"two"))
    outbox.banned(jail(B), NOW)
    outbox.banned(jail(C), NOW + 1)
    outbox.brought()
    outbox.answered(outbox.head(most=1), [FULL])
    outbox = again(outbox, tmp_path)
    assert [(o.number, o.batch.parts[0].offences) for o in outbox.owed] == [(2, hit(B, 0))]
    assert (outbox.owed[0].host, outbox.size) == (first.host, 1)
    assert (outbox.marks, outbox.open) == ({"log-1": b"two"}, [FULL])
    assert [*outbox.claims] == [(jail(C), NOW + 1)]
    # A number is never given twice, also where the file lost its end.
    assert outbox.host != first.host
    outbox.note(Batch(settled=True))
    outbox = again(outbox, tmp_path)
    assert (outbox.open, outbox.size) == ([], 1)
    outbox.close()


def test_what_may_have_been_told_is_told_again_as_it_was(tmp_path):
    """Small batches go together; which ones is on disk before Redis hears of it."""
    outbox = Outbox(tmp_path)
    for number in range(4):
        outbox.note(batch(hit(A, number)))
    told = outbox.head()
    assert (told.number, len(told.batch.parts), outbox.size) == (4, 1, 4)
    outbox.note(batch(hit(B, 9)))
    assert outbox.head() == told
    outbox = again(outbox, tmp_path)
    assert outbox.head() == told
    outbox.answered(told, [])
    assert outbox.head().batch.parts[0].offences == hit(B, 9)
    outbox.close()


def test_the_file_is_one_daemons(tmp_path):
    """Two that number their batches in one file would hide each other's."""
    outbox = Outbox(tmp_path)
    with pytest.raises(Refused, match="in use by another guard"):
        Outbox(tmp_path)
    outbox.close()
    Outbox(tmp_path).close()


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_damaged_end_costs_the_last_entries(tmp_path, cut):
    """Half an entry is none; what is written then follows the last whole one."""
    outbox = Outbox(tmp_path)
    outbox.note(batch(hit(A, 0), b"one"))
    outbox.note(batch(hit(A, 1), b"two"))
    outbox.close()
    os.truncate(tmp_path / NAME, (tmp_path / NAME).stat().st_size - cut)
    outbox = Outbox(tmp_path)
    assert [o.batch.parts[0].offences for o in outbox.owed] == [hit(A, 0)]
    assert outbox.marks == {"log-1": b"one"}
    outbox.note(batch(hit(A, 2)))
    outbox = again(outbox, tmp_path)
    assert outbox.size == 2
    outbox.close()


def test_a_full_disk_stops_nothing_and_is_made_good(tmp_path, caplog):
    """It is said once; when there is room again everything is there."""
    outbox = Outbox(tmp_path)
    outbox.note(batch(hit(A, 0)))
    frames = outbox._frames
    real, frames._file = frames._file, os.open("/dev/full", os.O_RDWR)
    (tmp_path / "redis.new").mkdir()
    outbox.note(batch(hit(A, 1)))
    outbox.banned(jail(A), NOW)
    assert (outbox.size, len(outbox.claims), caplog.text.count("only in memory")) == (2, 1, 1)
    (tmp_path / "redis.new").rmdir()
    os.close(frames._file)
    frames._file = real
    outbox.note(batch(hit(A, 2)))
    outbox = again(outbox, tmp_path)
    assert (outbox.size, len(outbox.claims)) == (3, 1)
    outbox.close()


def test_the_file_does_not_grow_for_ever(tmp_path, monkeypatch):
    """What is done is left out; marks stay."""
    monkeypatch.setattr("guard.stores.outbox.TIDY", 20_000)
    outbox = Outbox(tmp_path)
    for number in range(2000):
        outbox.note(batch(hit(A, number), str(number).encode()))
        outbox.answered(outbox.head(), [])
        assert (tmp_path / NAME).stat().st_size < 25_000
    outbox = again(outbox, tmp_path)
    assert (outbox.marks, outbox.size) == ({"log-1": b"1999"}, 0)
    outbox.close()


class Losing:
    """A real store whose counters lose their answers, after they counted or before."""

    def __init__(self, store):
        self._store, self.lose = store, ""
        self.ledger, self.standing, self.crowds = store.ledger, store.standing, store.crowds
        self.close = store.close

    @property
    def counters(self):
        return self

    def tell(self, owed):
        if self.lose == "before":
            raise Unavailable("gone")
        found = self._store.counters.tell(owed)
        if self.lose == "after":
            raise Unavailable("the answer was lost")
        return found

    def __getattr__(self, name):
        return getattr(self._store.counters, name)


@pytest.mark.redis
def test_a_lost_answer_is_given_again(redis_url, tmp_path):
    """The window filled, and Redis said so to nobody: it is said once more, and counted once."""
    store, clock = Losing(RedisStore(redis_url)), Clock()
    shelter = Shelter(store, Outbox(tmp_path), clock=clock)
    assert shelter.count_once(batch(hit(A, 0, 1))) == []
    store.lose = "after"
    assert shelter.count_once(batch(hit(A, 2), b"x")) == []
    assert shelter.owed == 1
    clock.now, store.lose = clock.now + 60, ""
    assert shelter.count_once(Batch()) == [FULL]
    assert shelter.count_once(batch(hit(A, 3, 4))) == []
    assert store.counters.counted(A) == hit(A, 3, 4)
    shelter.close()


@pytest.mark.redis
def test_a_process_that_is_killed_while_redis_is_gone_loses_nothing(redis_server, tmp_path):
    """Counts, claims and the place of the source are there when both are back."""
    clock = Clock()
    shelter = Shelter(RedisStore(redis_server.url), Outbox(tmp_path), clock=clock)
    shelter.count_once(batch(hit(A, 0), b"one"))
    redis_server.stop()
    assert shelter.count_once(batch([*hit(A, 1), *hit(B, 0, 1, 2)], b"two")) != []
    shelter.claim([jail(B)], NOW)
    shelter._outbox.close()  # all that is left of a killed process
    back(redis_server, clock)
    shelter = Shelter(RedisStore(redis_server.url), Outbox(tmp_path))
    assert (shelter.owed, shelter.mark("log-1")) == (0, b"two")
    assert shelter.counted(A) == hit(A, 0, 1)
    assert [(c.network, c.strikes) for c in shelter.claims(NOW)] == [(B, 1)]
    # The window filled in Redis as well; who may claim that is told, and finds it claimed.
    assert shelter.count_once(Batch()) == [Overflow("relay", B, NOW + 2, 3)]
    shelter.close()


steps = st.lists(
    st.one_of(
        st.tuples(st.just("hit"), st.sampled_from([A, B, C]), st.integers(1, 3)),
        st.tuples(st.just("lose"), st.sampled_from(["", "before", "after"]), st.just(0)),
        st.tuples(st.just("kill"), st.none(), st.just(0)),
    ),
    max_size=30,
)


@pytest.mark.redis
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(history=steps)
def test_kills_and_lost_answers_anywhere_count_once_and_hide_no_overflow(
    redis_url, tmp_path_factory, history
):
    """Of each address every third rejection fills a window, and somebody is told, before or after.

    What was told and not settled when the process was killed is told by the next one.
    """
    store, clock, at = Losing(RedisStore(redis_url)), Clock(), 0
    store._store._link.client.flushall()
    folder = tmp_path_factory.mktemp("outbox")
    windows = {"all": Window(10**6, 1e6), "relay": Window(3, 1e6)}
    shelter = Shelter(store, Outbox(folder), clock=clock)
    hits, told = {A: [], B: [], C: []}, set()

    def hear(found):
        told.update(found)
        shelter.count_once(Batch(settled=True))

    for verb, what, number in history:
        at, clock.now = at + 1, clock.now + 5
        if verb == "lose":
            store.lose = what
        elif verb == "kill":
            shelter._outbox.close()
            store.lose = ""
            shelter = Shelter(store, Outbox(folder), clock=clock)
            hear([*shelter.unsettled(), *shelter.count_once(Batch())])
        else:
            offences = [o._replace(jail=j) for o in hit(what, at) * number for j in windows]
            hits[what] += [NOW + at] * number
            found = shelter.count_once(Batch((Part(offences, windows),), Mark("x", b"%d" % at)))
            if not shelter.error:  # what fills here while Redis is gone is told again
                hear(found)
    store.lose, clock.now = "", clock.now + 5
    hear([*shelter.unsettled(), *shelter.count_once(Batch())])
    for network, times in hits.items():
        held = store.counters.counted(network)
        assert [o.time for o in held if o.jail == "all"] == times
        filled, count = set(), 0
        for time in times:
            count += 1
            if count == 3:
                filled.add(time)
                count = 0
        assert {o.time for o in told if o.network == network and o.jail == "relay"} == filled
    shelter.close()
