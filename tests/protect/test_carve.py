"""A block is carved around the protected, or refused."""

from hypothesis import given, settings
from hypothesis import strategies as st

from guard.lib.networks import Network, parse_network
from guard.lib.prefixes import Prefixes
from guard.protect.carve import MOST_PIECES, carve

net = parse_network


def test_nothing_protected_is_the_network_itself():
    """Neighbours do not matter."""
    assert carve(net("185.0.0.0/24"), [net("185.0.1.0/24")]) == [net("185.0.0.0/24")]


def test_the_smaller_part_is_carved_out():
    """One address out of a /24 leaves eight blocks; half of it still leaves the other half."""
    pieces = carve(net("185.0.0.0/24"), [net("185.0.0.5")])
    assert len(pieces) == 8
    assert Prefixes([*pieces, net("185.0.0.5")]) == Prefixes([net("185.0.0.0/24")])
    assert carve(net("185.0.0.0/24"), [net("185.0.0.0/25")]) == [net("185.0.0.128/25")]
    assert len(carve(net("2a03::/64"), [net("2a03::5")])) == 64


def test_a_block_that_is_mostly_or_wholly_protected_is_refused():
    """What was meant was somebody else."""
    assert carve(net("185.0.0.7"), [net("185.0.0.0/8")]) == []
    assert carve(net("185.0.0.0/24"), [net("185.0.0.0/25"), net("185.0.0.128/26")]) == []


def test_a_block_in_shreds_is_refused():
    """The kernel is not given a thousand elements for one ban."""
    protected = [Network(4, net("185.0.0.0/16").value + 512 * i, 32) for i in range(128)]
    assert carve(net("185.0.0.0/16"), protected) == []
    assert carve(net("::/0"), [net("2a03::1")]) != []


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 8)), max_size=12))
@settings(max_examples=200, deadline=None)
def test_no_piece_touches_the_protected(protected):
    """Whatever is left is inside the network, apart from everybody protected, and few."""
    base = net("185.0.0.0/24")
    shields = [
        Network(4, (base.value + at) >> (8 - length) << (8 - length), 24 + length)
        for at, length in protected
    ]
    pieces = carve(base, shields)
    assert len(pieces) <= MOST_PIECES
    assert all(base.covers(piece) for piece in pieces)
    assert not any(piece.overlaps(shield) for piece in pieces for shield in shields)
