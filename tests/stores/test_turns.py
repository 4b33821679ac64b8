"""Whose turn it is: nobody before his minute is over, everybody after it."""

from math import inf

from hypothesis import given, settings
from hypothesis import strategies as st

from guard.stores.turns import MINUTE, Turns

_TIMES = st.lists(st.floats(0, 5000), max_size=30)


@settings(deadline=None, max_examples=200)
@given(_TIMES, st.lists(st.floats(0, 6000), max_size=5).map(sorted))
def test_each_is_told_once_and_after_its_time(times, asked):
    """No later than a minute after it; those whose minute has begun are known before."""
    turns, told = Turns(), set()
    for key, time in enumerate(times):
        turns.add(key, time)
    for now in asked:
        begun = turns.begun(now)
        assert {k for k, time in enumerate(times) if time <= now} - told <= begun
        assert all(times[key] < now + MINUTE for key in begun)
        over = list(turns.over(now))
        assert not told & set(over)
        assert all(times[key] < now for key in over)
        told |= set(over)
        assert all(key in told for key, time in enumerate(times) if time + MINUTE <= now)


def test_who_is_there_twice_in_a_minute_is_told_once_and_what_never_comes_is_not_kept():
    """Of the same minute; one that is added meanwhile is told in its own turn."""
    turns = Turns()
    for time in (61.0, 119.0, 121.0, inf, -inf):
        turns.add(b"key", time)
    assert turns.begun(200.0) == {b"key"}
    told = []
    for key in turns.over(120.0):
        told.append(key)
        turns.add(b"other", 130.0)
    assert told == [b"key"]
    assert sorted(turns.over(180.0)) == [b"key", b"other"]
    assert list(turns.over(1e9)) == []
