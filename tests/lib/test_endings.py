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
