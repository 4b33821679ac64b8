"""Which lists are believed."""

import pytest

from guard.feeds.checks import Odd, OddFeed, check, check_change
from guard.feeds.recipe import BadFeed, Limits, Listed
from guard.lib.networks import parse_network
from guard.lib.prefixes import Prefixes

net = parse_network
DAY = 86400.0
NONE = Prefixes()


@pytest.mark.parametrize(
    ("listed", "limits", "why"),
    [
        (Listed([]), Limits(), "is empty"),
        (Listed([net("185.0.0.1")]), Limits(min_entries=2), "only 1"),
        (Listed([net("185.0.0.1")] * 3), Limits(max_entries=2), "more than 2"),
        (Listed([net("185.0.0.1")] * 9, bad=1, sample="x"), Limits(), "1 of 10 entries .* 'x'"),
        (Listed([net("185.0.0.1")] * 999, bad=1), Limits(bad_share=0.0), "1 of 1000"),
        (Listed([net("128.0.0.0/9")]), Limits(), "wider than /10"),
        (Listed([net("0.0.0.0/0")]), Limits(), "wider than /10"),
        (Listed([net("2a00::/12")]), Limits(), "wider than /24"),
    ],
)
def test_unbelievable_lists(listed, limits, why):
    """Empty, short, long, full of errors, or with a block that nobody lists."""
    with pytest.raises(BadFeed, match=why):
        check(listed, limits, NONE)


def test_believable_lists():
    """A few bad lines, an allowed emptiness, and wide blocks of space that is left out anyway."""
    check(Listed([net("185.0.0.1")] * 99, bad=1), Limits(), NONE)
    check(Listed([]), Limits(min_entries=0), NONE)
    multicast = Prefixes([net("224.0.0.0/3")])
    check(Listed([net("224.0.0.0/3"), net("185.0.0.0/16")]), Limits(), multicast)


def test_a_list_that_halves_is_taken_when_it_stays_halved():
    """Refused at first, and for a day; then the purge is believed."""
    limits = Limits()
    with pytest.raises(OddFeed, match="shrank from 1000 entries to 400") as first:
        check_change(400, 1000, None, limits, 0.0)
    assert first.value.odd == Odd(0.0, 400)
    with pytest.raises(OddFeed) as later:
        check_change(420, 1000, first.value.odd, limits, DAY - 1)
    assert later.value.odd.since == 0.0
    check_change(420, 1000, first.value.odd, limits, DAY)


def test_another_oddity_begins_anew():
    """A list that jumps about is never believed."""
    odd = Odd(0.0, 400)
    with pytest.raises(OddFeed) as again:
        check_change(100, 1000, odd, Limits(), 2 * DAY)
    assert again.value.odd == Odd(2 * DAY, 100)
    with pytest.raises(OddFeed, match="grew") as grown:
        check_change(9000, 1000, odd, Limits(), 2 * DAY)
    assert grown.value.odd == Odd(2 * DAY, 9000)


def test_a_clock_set_back_keeps_the_oddity():
    """What lies in the future does not count as a day ago, nor wait for ever."""
    check_change(400, 1000, Odd(100 * DAY, 400), Limits(), DAY)


@pytest.mark.parametrize(
    ("count", "last"), [(500, 1000), (3000, 1000), (1, 49), (49, 0), (7, None)]
)
def test_ordinary_changes(count, last):
    """Within the factors, in small lists, and at first."""
    check_change(count, last, None, Limits(), 0.0)
