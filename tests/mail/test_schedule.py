"""The retry schedule is KumoMTA's."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.mail.schedule import Rate, Schedule


def pauses(schedule: Schedule) -> list[float]:
    """Every pause of a message that never gets through."""
    now, found = 0.0, []
    for attempts in range(1, 1000):
        due, expired = schedule.next_attempt(0.0, now, attempts)
        if expired:
            return found
        found.append(due - now)
        now = due
    raise AssertionError("never expires")


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Schedule(2, None, 1024), [2, 4, 8, 16, 32, 64, 128, 256, 512]),
        (Schedule(2, 8, 128), [2, 4, *[8] * 15]),
        (Schedule(1200, None, 86400), [1200, 2400, 4800, 9600, 19200, 38400]),
    ],
)
def test_kumomtas_vectors(schedule: Schedule, expected: list[float]):
    """crates/kumod/src/queue/test.rs."""
    assert pauses(schedule) == expected


def test_defaults_are_kumomtas():
    """20 minutes, doubling without a cap, for seven days."""
    assert pauses(Schedule()) == [1200 * 2**n for n in range(8)]


@pytest.mark.parametrize(
    ("interval", "spread"), [(1200, 60), (400, 20), (2, 0.1), (86400, 60), (0, 0)]
)
def test_jitter(interval: float, spread: float):
    """A fortieth either way, never more than a minute in all."""
    schedule = Schedule(interval)
    assert schedule.jitter(0.0) == -spread / 2
    assert schedule.jitter(0.5) == 0
    assert schedule.jitter(1.0) == spread / 2


@given(st.integers(0, 10**6), st.floats(0.001, 1e6))
@settings(deadline=None)
def test_no_number_of_attempts_is_too_many(attempts: int, interval: float):
    """The pause grows, and stays a number."""
    schedule = Schedule(interval)
    assert interval <= schedule.pause(attempts) <= schedule.pause(attempts + 1) < float("inf")


def test_rate_spreads_evenly():
    """Six a minute is one every ten seconds; a pause earns no burst."""
    rate = Rate(6, 60)
    assert rate.slot(float("-inf"), 100) == 100
    assert rate.slot(100, 100) == 110
    assert rate.slot(100, 105) == 110
    assert rate.slot(100, 500) == 500
