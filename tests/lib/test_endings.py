"""Endings come out in order, once, and not before their time."""

from guard.lib.endings import Endings
from guard.lib.networks import parse_network

ONE, TWO = parse_network("192.0.2.1"), parse_network("2001:db8::/64")


def test_due_in_order_and_once():
    """What is due comes out soonest first, a repeated network once, and never again."""
    endings = Endings()
    endings.extend([(TWO, 20.0), (ONE, 10.0), (ONE, 15.0), (ONE, None)])
    assert endings.due(9.9) == []
    assert endings.due(20.0) == [ONE, TWO]
    assert endings.due(1e12) == []


def test_what_is_forgotten_is_not_due_unless_it_comes_again():
    """Of a network that is over already no time comes; of one that is added anew it does."""
    endings = Endings()
    endings.extend([(ONE, 10.0), (TWO, 10.0)])
    endings.forget(ONE)
    assert endings.due(10.0) == [TWO]
    endings.forget(TWO)
    endings.add(ONE, 20.0)
    assert endings.due(20.0) == [ONE]


def test_who_is_remembered():
    """Whatever has an end or none, until it is forgotten."""
    endings = Endings()
    endings.extend([(ONE, 10.0), (TWO, None)])
    assert set(endings.among(None)) == {ONE, TWO}
    assert endings.among({ONE, parse_network("192.0.2.9")}) == [ONE]
    endings.forget(ONE)
    assert endings.among({ONE, TWO}) == [TWO]
