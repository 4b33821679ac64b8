"""When a feed is asked for again: pure arithmetic."""

from hypothesis import given, settings
from hypothesis import strategies as st

from guard.feeds.copies import PartState
from guard.feeds.plain import PlainSettings
from guard.feeds.schedule import after_failure, after_success, due, until

DAY, HOUR = 86400.0, 3600.0
NOW = 1_700_000_000.0


def recipe(**more):
    return PlainSettings(name="x", url="http://x", **more).recipe_of("x", (), least=HOUR)


def test_a_success_is_followed_after_the_interval():
    """With a little jitter, and not before its owner allows even by force."""
    for chance in (0.0, 0.5, 1.0):
        state = after_success(PartState(fails=3, error="x"), recipe(), NOW, chance)
        assert (state.fails, state.error, state.fetched) == (0, "", NOW)
        assert 0.94 * DAY < state.next - NOW < 1.06 * DAY
        assert not due(state, NOW + HOUR - 1, force=True)
        assert due(state, NOW + HOUR, force=True)
        assert not due(state, NOW + HOUR, force=False)
        assert due(state, NOW + 1.06 * DAY, force=False)
    assert due(None, NOW, force=False)


@given(st.integers(0, 60), st.floats(0, 1), st.floats(0, 7 * DAY))
@settings(max_examples=200, deadline=None)
def test_failures_come_ever_more_rarely_within_bounds(fails, chance, wait):
    """Never sooner than the owner allows or the server asks, never later than a day and jitter."""
    state = after_failure(PartState(fails=fails), recipe(), "down", NOW, wait, chance)
    pause = state.next - NOW
    assert pause >= max(HOUR, wait) - 1e-6
    assert pause <= max(1.1 * DAY, wait) + 1
    assert state.earliest - NOW >= max(HOUR, wait) - 1e-6
    assert state.fails == fails + 1


def test_a_clock_set_back_is_survived():
    """What was tried in the future may be tried again."""
    state = after_success(PartState(), recipe(), NOW + 100 * DAY, 0.5)
    assert due(state, NOW, force=False)


@given(st.floats(0, 100 * DAY))
@settings(max_examples=200, deadline=None)
def test_claims_end_on_a_grid_not_before_their_time(after):
    """At least `outlive` after the last contact, at most a quarter more; nothing has no end."""
    state = PartState(fetched=NOW + after, changed=NOW)
    end = until(state, recipe(outlive=8 * DAY)) - (NOW + after)
    assert end + 1e-3 >= 8 * DAY
    assert end <= 10 * DAY + 1e-3
    assert until(PartState(), recipe()) == 0.0
    assert until(None, recipe()) == 0.0
