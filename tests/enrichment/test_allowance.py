"""A day's quota, a minute's pace, and what is kept for whoever asks by hand."""

import pytest

from guard.enrichment.allowance import Allowance, Spent
from guard.lib.webcall import Answer

NOON = 1_757_678_400.0
MIDNIGHT = NOON + 43200


def test_a_day_has_so_many_and_the_next_has_them_again(quotas):
    """A day is one of UTC; the wait leads to its end."""
    allowance = Allowance(quotas, "x", 2)
    allowance.take(NOON)
    allowance.take(NOON)
    with pytest.raises(Spent) as caught:
        allowance.take(NOON + 1)
    assert caught.value.wait == MIDNIGHT - NOON - 1
    assert allowance.left(NOON) == 0
    allowance.take(MIDNIGHT)


def test_a_minute_has_so_many(quotas):
    """Of this host; one is spared for whoever asks by hand."""
    allowance = Allowance(quotas, "x", 500, 4)
    for second in range(3):
        assert allowance.spare(NOON + second) == 0
        allowance.take(NOON + second)
    assert allowance.spare(NOON + 3) == 57.0
    allowance.take(NOON + 3)
    with pytest.raises(Spent) as caught:
        allowance.take(NOON + 10)
    assert caught.value.wait == 50.0
    assert allowance.left(NOON) == 496
    allowance.take(NOON + 60)
    assert allowance.spare(NOON + 70) == 0


def test_a_tenth_of_the_day_is_for_whoever_asks_by_hand(quotas):
    """What Guard asks by itself stops before the end."""
    allowance = Allowance(quotas, "x", 10)
    for _ in range(9):
        assert allowance.spare(NOON) == 0
        allowance.take(NOON)
    assert allowance.spare(NOON) == MIDNIGHT - NOON
    allowance.take(NOON)


def test_the_services_word_counts_when_it_is_less(quotas):
    """Another program may use the same key; a larger plan gives no more than is configured."""
    allowance = Allowance(quotas, "x", 100)
    allowance.told(Answer(200, {"x-ratelimit-remaining": "2999"}, b""), NOON)
    assert allowance.left(NOON) == 100
    allowance.told(Answer(200, {"x-ratelimit-remaining": "7"}, b""), NOON)
    assert allowance.left(NOON) == 7
    for odd in ("-1", "many", "", "9" * 99):
        allowance.told(Answer(200, {"x-ratelimit-remaining": odd}, b""), NOON)
    assert allowance.left(NOON) == 7
