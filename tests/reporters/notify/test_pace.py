"""How much is told at once."""

from hypothesis import given
from hypothesis import strategies as st

from guard.reporters.notify.pace import Pace


def play(arrivals, burst=3, interval=60.0, until=600):
    """(second, how many notices) of each message, when so many notices arrive at each second."""
    pace, waiting, sent = Pace(), 0, []
    for now in range(until):
        waiting += arrivals.get(now, 0)
        while True:
            choice, pace = pace.choose(waiting, burst, interval, 1e9 + now)
            if choice == "wait":
                break
            told = 1 if choice == "one" else waiting
            waiting -= told
            sent.append((now, told))
    return sent, waiting


def test_a_few_are_told_by_themselves_at_once():
    """Each in the second when it came."""
    assert play({5: 1, 7: 2}) == ([(5, 1), (7, 1), (7, 1)], 0)


def test_what_is_beyond_the_burst_is_told_as_one_when_the_interval_is_over():
    """Three, then the rest."""
    assert play({5: 1, 6: 1, 7: 1, 8: 1, 9: 40}) == ([(5, 1), (6, 1), (7, 1), (65, 41)], 0)


def test_a_flood_is_one_message():
    """Nobody is told three of five thousand first."""
    assert play({5: 5000}) == ([(5 + 60, 5000)], 0)


def test_a_single_one_that_was_held_is_told_by_itself():
    """A digest of one thing says less than the thing."""
    pace = Pace(since=5.0, used=3, held=True)
    assert pace.choose(1, 3, 60.0, 65.0) == ("one", Pace(65.0, 1))
    assert pace.choose(2, 3, 60.0, 65.0) == ("all", Pace(65.0, 1))


def test_a_clock_that_was_put_back_begins_anew():
    """What waits does not wait for years."""
    assert Pace(since=1e9, used=3).choose(1, 3, 60.0, 5.0) == ("one", Pace(5.0, 1))


@given(
    st.dictionaries(st.integers(1, 400), st.integers(1, 500), max_size=60),
    st.integers(1, 5),
    st.integers(1, 90),
)
def test_every_notice_is_told_and_no_interval_has_more_than_the_burst(arrivals, burst, interval):
    """Whatever comes when."""
    sent, waiting = play(arrivals, burst, float(interval))
    assert waiting == 0
    assert sum(told for _, told in sent) == sum(arrivals.values())
    # Intervals begin with what first comes after the last; a window can straddle two of them.
    for start, _ in sent:
        assert sum(start <= at < start + interval for at, _ in sent) <= 2 * burst
