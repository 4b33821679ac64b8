"""Who is spared because nobody knows whether he is good: until somebody does, and within bounds."""

from guard.events import Good, Overflow
from guard.lib.networks import parse_network
from guard.pipeline.putoff import PutOff

A, B, C = (parse_network(f"192.0.2.{n}") for n in (1, 2, 3))
NOW = 1_757_675_281.5


class Standing:
    """What the restraint says of standing; None: the store is gone."""

    def __init__(self):
        self.good = None

    def goods(self, networks, time):
        """The restraint's."""
        if self.good is None:
            return {network: unknown(network) for network in networks}
        return {
            network: Good(network, NOW - 9, "mail") for network in networks if network in self.good
        }


def unknown(network):
    return Good(network, 1e12, "not known")


def overflow(network, jail="relay", time=NOW):
    return Overflow(jail, network, time, 5)


def test_they_wait_until_it_is_known():
    """Nobody is told while the store is gone; then those of nobody good, once, as first met."""
    standing = Standing()
    put_off = PutOff(standing)
    for due in (overflow(A), overflow(A, time=NOW + 5), overflow(B), overflow(A, "auth")):
        put_off.spared(due, unknown(due.network))
    assert put_off.due() == []
    standing.good = {B}
    assert put_off.due() == [overflow(A), overflow(A, "auth")]
    assert (len(put_off), put_off.due()) == (0, [])


def test_who_is_known_does_not_wait():
    """Somebody good was spared for good, and whoever is not was spared for another reason."""
    put_off = PutOff(Standing())
    put_off.spared(overflow(A), Good(A, NOW - 9, "mail"))
    put_off.spared(overflow(B), None)
    assert len(put_off) == 0


def test_bounds_and_an_unban():
    """No more than so many wait, and nobody whom the operator let in meanwhile."""
    standing = Standing()
    put_off = PutOff(standing, most=2)
    for network in (A, B, C):
        put_off.spared(overflow(network), unknown(network))
    put_off.forget(A)
    standing.good = set()
    assert put_off.due() == [overflow(B)]
