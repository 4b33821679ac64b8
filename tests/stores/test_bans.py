"""What jails say of one network, and what is left of it when it is packed."""

import math

import pytest

from guard.events import Claim, Remembered
from guard.lib.networks import parse_network
from guard.stores import bans
from guard.stores.bans import FORGOTTEN, Said, said_by

A = parse_network("192.0.2.1")
DAY = 86400.0


def packed(row):
    """A row as it is kept, and read again."""
    buffer = bytearray()
    bans.pack_into(row, buffer)
    return bans.unpack(bytes(buffer))


@pytest.mark.parametrize("until", [None, 1_757_675_281.4123456])
def test_a_row_comes_back_as_it_was(until):
    """To the last bit of its times; the claim that it makes says all that was said."""
    since = 1_757_675_000.123456789
    row = [
        Said("jail:a", math.inf, 3, "5 rejections within 10m", since, until, 7),
        Said("jail:b", math.inf, 1),
    ]
    assert packed(row) == row
    assert row[0].claim(A) == Claim(A, "jail:a", "5 rejections within 10m", since, until, 7)
    assert row[0].alive(1e12) is (until is None)
    assert not row[1].alive(0.0)
    assert bans.remembered(A, row) == Remembered(A, {"jail:a": 3, "jail:b": 1}, None)


def test_when_the_last_ban_ends_is_said_by_all():
    """Also by one who says something for the first time; it is forgotten with the strikes."""
    row = []
    first = said_by("jail:a", row)
    assert (first.ended, bans.remembered(A, row)) == (FORGOTTEN, None)
    first.struck = 1
    bans.end(row, 600.0)
    assert said_by("jail:b", row).ended == 600.0
    assert said_by("jail:a", row) is first
    assert bans.remembered(A, row) == Remembered(A, {"jail:a": 1}, 600.0)
    assert bans.speaking(row) == [first]
    bans.forget(row)
    assert bans.speaking(row) == []


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([], (False, math.inf)),
        ([Said("a", 900.0, 1, "x", 0.0, 900.0)], (True, 900.0)),
        ([Said("a", 900.0, 1, "x", 0.0, 900.0), Said("b", 900.0, 1, "x", 0, 500)], (True, 500.0)),
        ([Said("a", math.inf, 1, "x")], (True, math.inf)),
        ([Said("a", 900.0, 1)], (False, DAY + 3600.0)),
        ([Said("a", math.inf, 1)], (False, math.inf)),
    ],
)
def test_a_row_is_due_when_a_ban_ends_and_then_when_strikes_are_forgotten(row, expected):
    """The first end of several; strikes at the full hour after; what has no end never."""
    assert bans.outlook(row, DAY) == expected
