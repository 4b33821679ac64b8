"""The sliding window against a model of three lines."""

from hypothesis import given
from hypothesis import strategies as st

from guard.events import Window
from guard.jails.window import add, times_of


def model(held: list[float], time: float, rejections: int, window: Window):
    """All that is within findtime of the newest, counted again each time."""
    newest = max([*held, time])
    kept = sorted(t for t in [*held, *[time] * rejections] if t > newest - window.findtime)
    if time <= newest - window.findtime:
        return held, 0
    return ([], len(kept)) if len(kept) >= window.maxretry else (kept, 0)


@given(
    st.lists(st.tuples(st.floats(0, 40), st.integers(1, 3)), max_size=60),
    st.integers(1, 6),
    st.floats(0.5, 20),
)
def test_the_window_is_exact(offences, maxretry, findtime):
    """Any offences in any order fill the window exactly when the model says."""
    window, hits, held = Window(maxretry, findtime), None, []
    for time, rejections in offences:
        hits, filled = add(hits, time, rejections, window)
        held, expected = model(held, time, rejections, window)
        assert filled == expected
        assert list(times_of(hits)) == held
        assert len(held) < maxretry


def test_one_exactly_as_old_as_the_window_is_out():
    """The edge belongs to nobody: findtime seconds later the first rejection no longer counts."""
    window = Window(2, 600.0)
    first, _ = add(None, 1000.0, 1, window)
    assert add(first, 1600.0, 1, window)[1] == 0
    assert add(first, 1599.9, 1, window) == (None, 2)


def test_a_collapsed_record_counts_in_full():
    """One offence of many rejections fills the window and says how many there were."""
    assert add(None, 5.0, 1000, Window(5, 600.0)) == (None, 1000)


def test_a_late_rejection_takes_its_place():
    """Out of order by less than findtime counts as if it had come in time."""
    window = Window(3, 600.0)
    hits, _ = add(None, 1000.0, 1, window)
    hits, _ = add(hits, 700.0, 1, window)
    assert times_of(hits) == (700.0, 1000.0)
    assert add(hits, 1299.0, 1, window) == (None, 3)


def test_one_that_is_too_late_changes_nothing():
    """Older than the window of the newest: neither counted nor kept."""
    window = Window(2, 600.0)
    hits, _ = add(None, 1000.0, 1, window)
    after, filled = add(hits, 400.0, 5, window)
    assert (times_of(after), filled) == ((1000.0,), 0)
