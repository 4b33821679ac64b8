"""guard/lib/collapse.py: few lines, exact counts."""

from hypothesis import given
from hypothesis import strategies as st

from guard.lib.collapse import Collapse


def test_the_first_at_once_and_the_rest_counted():
    """One now, one at the window's end with how many more there were, then silence."""
    runs = Collapse(10.0)
    assert runs.see("a", 1, 1, 100.0) == [(1, 1)]
    assert runs.see("a", 2, 1, 101.0) == []
    assert runs.see("a", 3, 5, 109.9) == []
    assert runs.see("b", 9, 1, 109.9) == [(9, 1)]
    assert runs.due(109.9) == []
    assert runs.due(110.0) == [(3, 6)]
    assert runs.due(119.9) == []
    assert runs.due(120.0) == []
    assert len(runs) == 0
    assert runs.see("a", 4, 1, 121.0) == [(4, 1)]


def test_a_run_that_goes_on_is_one_line_a_window():
    """A million in a hundred seconds are eleven lines, and the sum is a million."""
    runs, told = Collapse(10.0), []
    for number in range(1_000_000):
        told += runs.see("a", number, 1, number / 10_000)
    told += runs.rest()
    assert len(told) == 11
    assert sum(count for _, count in told) == 1_000_000


def test_a_clock_set_back_ends_the_window():
    """Nothing waits for the old time to come again."""
    runs = Collapse(10.0)
    runs.see("a", 1, 1, 1000.0)
    runs.see("a", 2, 1, 1000.0)
    assert runs.due(500.0) == [(2, 1)]


SIGHTS = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 9), st.floats(0, 100)))


@given(SIGHTS)
def test_nothing_is_lost(sights):
    """Whatever the order and the times, and with too little room, counts add up per key."""
    runs, told = Collapse(5.0, size=3), []
    for key, count, now in sights:
        told += runs.see(key, key, count, now)
        assert len(runs) <= 3
    told += runs.rest()
    for key in "abcdef":
        went_in = sum(count for name, count, _ in sights if name == key)
        assert went_in == sum(count for name, count in told if name == key)
