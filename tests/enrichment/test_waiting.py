"""Who waits to be asked about: the worst first, and never too many."""

from guard.enrichment.waiting import Waiter, Waiting
from guard.lib.networks import parse_network


def waiter(number, rejections=1):
    network = parse_network(f"192.0.2.{number}")
    return Waiter(network, rejections, network)


def test_the_worst_comes_first_then_the_longest_there():
    """Rejections add up while an address waits."""
    made = Waiting()
    assert made.worst() is None
    assert [made.add(waiter(n)) for n in (1, 2, 3, 2)] == [True, True, True, False]
    assert [made.worst() for _ in range(4)] == [waiter(2, 2), waiter(1), waiter(3), None]


def test_the_address_last_heard_is_asked_about():
    """Of a network that is counted as one."""
    made, block = Waiting(), parse_network("2001:db8::/64")
    for text in ("2001:db8::1", "2001:db8::2"):
        made.add(Waiter(block, 1, parse_network(text)))
    assert made.worst() == Waiter(block, 2, parse_network("2001:db8::2"))


def test_a_flood_of_strangers_does_not_push_out_the_worst():
    """The half that did least makes room."""
    made = Waiting(most=10)
    made.add(waiter(1, 9))
    for number in range(2, 250):
        made.add(waiter(number))
        assert len(made) <= 10
    assert made.worst() == waiter(1, 9)
    assert made.worst().rejections == 1
