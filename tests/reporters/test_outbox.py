"""The outbox: what was put comes out, the worst first, until somebody has it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.reporters.outbox import SCHEMA, VERSION, Item, Outbox
from guard.stores.database import open_file

NOW = 1_757_675_281.0
LATER = NOW + 1e6


def opened(folder, **more):
    return Outbox(open_file(folder / "outbox.db", SCHEMA, VERSION), **more)


@pytest.fixture
def outbox(tmp_path):
    made = opened(tmp_path)
    yield made
    made.close()


def test_the_worst_goes_first_and_stays_until_done(outbox):
    """Of equals the older; what was taken and not said to be done is taken again."""
    outbox.put("a", [Item(b"mild", LATER), Item(b"worst", LATER, priority=9)], NOW)
    outbox.put("a", [Item(b"later", LATER)], NOW + 1)
    outbox.put("b", [Item(b"other", LATER)], NOW)
    taken = outbox.take("a", NOW + 2, 10)
    assert [w.payload for w in taken] == [b"worst", b"mild", b"later"]
    assert [w.payload for w in outbox.take("a", NOW + 2, 1)] == [b"worst"]
    outbox.done("a", [taken[0].id])
    assert [w.payload for w in outbox.take("a", NOW + 2, 10)] == [b"mild", b"later"]
    assert outbox.counts("a") == {"waiting": 2, "sent": 1}
    assert outbox.counts("b") == {"waiting": 1}


def test_what_failed_waits_and_keeps_its_error(outbox):
    """Until it is due again; an answer of `not now` is no failure."""
    outbox.put("a", [Item(b"x", LATER)], NOW)
    one = outbox.take("a", NOW, 1)[0]
    outbox.later([one.id], NOW + 60, "no answer in time")
    assert outbox.take("a", NOW + 59, 1) == []
    assert outbox.next_due("a") == NOW + 60
    outbox.later([one.id], NOW + 90, "the day's quota is spent", failed=False)
    again = outbox.take("a", NOW + 90, 1)[0]
    assert (again.attempts, again.error) == (1, "the day's quota is spent")
    assert outbox.next_due("empty") is None


def test_what_is_not_due_yet_waits(outbox):
    """Put for a time to come."""
    outbox.put("a", [Item(b"x", LATER, due=NOW + 5)], NOW)
    assert not outbox.take("a", NOW + 4, 1)
    assert outbox.take("a", NOW + 5, 1)


def test_one_of_a_key_waits(outbox):
    """The newer payload, or both merged; the place in time and the failures stay."""
    outbox.put("a", [Item(b"old", NOW + 10, key="k", priority=5)], NOW)
    outbox.later([outbox.take("a", NOW, 1)[0].id], NOW + 3, "no")
    outbox.put("a", [Item(b"new", NOW + 20, key="k", priority=2)], NOW + 1)
    [one] = outbox.waiting("a")
    assert (one.payload, one.priority, one.born, one.attempts) == (b"new", 5, NOW, 1)
    assert one.expires == NOW + 20
    outbox.put("a", [Item(b"er", LATER, key="k")], NOW, merge=lambda old, new: old + new)
    outbox.put("b", [Item(b"apart", LATER, key="k")], NOW)
    assert [w.payload for w in outbox.waiting("a")] == [b"newer"]
    assert outbox.remove("a", "k")
    assert not outbox.remove("a", "k")
    assert len(outbox.waiting("b")) == 1


def test_what_is_too_old_is_dropped_and_counted(outbox):
    """Not handed out any more, and told."""
    outbox.put("a", [Item(b"x", NOW + 5), Item(b"y", NOW + 50)], NOW)
    assert [w.payload for w in outbox.take("a", NOW + 5, 9)] == [b"y"]
    assert outbox.expire("a", NOW + 5) == 1
    assert outbox.expire("a", NOW + 5) == 0
    assert outbox.counts("a") == {"waiting": 1, "dropped as too old": 1}


def test_a_full_queue_drops_the_least_and_says_so(tmp_path):
    """The least grave, of equals the newest; other queues have their own room."""
    outbox = opened(tmp_path, most=3)
    assert outbox.put("b", [Item(b"b", LATER)], NOW) == 0
    graves = [Item(str(n).encode(), LATER, priority=n) for n in (5, 1, 4, 2, 3)]
    assert outbox.put("a", graves, NOW) == 2
    assert [w.payload for w in outbox.waiting("a")] == [b"5", b"4", b"3"]
    assert outbox.put("a", [Item(b"late", LATER, priority=3)], NOW + 1) == 1
    assert [w.payload for w in outbox.waiting("a")] == [b"5", b"4", b"3"]
    assert outbox.counts("a")["dropped as too many"] == 3
    assert outbox.counts("b") == {"waiting": 1}
    outbox.close()


def test_a_restart_forgets_nothing(tmp_path):
    """Rows, failures and counts."""
    first = opened(tmp_path)
    first.put("a", [Item(b"x", LATER), Item(b"y", LATER)], NOW)
    first.done("a", [first.take("a", NOW, 1)[0].id])
    first.count("a", "failed", 3)
    first.close()
    second = opened(tmp_path)
    assert second.counts("a") == {"waiting": 1, "failed": 3, "sent": 1}
    assert [w.payload for w in second.waiting("a")] == [b"y"]
    second.close()


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 5), st.sampled_from([None, "k", "l"])),
        max_size=30,
    )
)
def test_nothing_is_lost_in_silence(tmp_path_factory, put):
    """Waiting, replaced, sent and dropped sum to what was put, whatever was put."""
    outbox = opened(tmp_path_factory.mktemp("outbox"), most=7)
    replaced = dropped = 0
    for priority, length, key in put:
        held = key is not None and any(w.key == key for w in outbox.waiting("a"))
        item = Item(b"x", NOW + length, key=key, priority=priority)
        dropped += outbox.put("a", [item], NOW)
        replaced += held
    sent = outbox.take("a", NOW, 2)
    outbox.done("a", [w.id for w in sent])
    dropped += outbox.expire("a", NOW + 3)
    counts = outbox.counts("a")
    assert counts["waiting"] + counts.get("sent", 0) + dropped + replaced == len(put)
    outbox.close()
