"""guard/smtp/blocks.py: who is turned away, and until when."""

from hypothesis import given
from hypothesis import strategies as st

from guard.events import Block
from guard.lib.networks import Network, parse_address, parse_network
from guard.smtp.blocks import Blocks

ONE = parse_address("192.0.2.1")
WIDE, SIX = parse_network("198.51.100.0/24"), parse_network("2001:db8::/64")


def test_addresses_and_networks_until_their_end():
    """An address, a block around one, for ever and for a while."""
    now = [100.0]
    blocks = Blocks(lambda: now[0])
    blocks.open()
    assert not blocks(ONE)
    blocks.replace([Block(ONE, None), Block(WIDE, 200.0), Block(SIX, None), Block(SIX, 50.0)], 60.0)
    assert blocks(ONE)
    assert not blocks(parse_address("192.0.2.2"))
    assert blocks(parse_address("198.51.100.77"))
    now[0] = 200.0
    assert not blocks(parse_address("198.51.100.77"))
    assert blocks.blocked(200.0).keys() == {ONE, SIX}
    blocks.replace([], 200.0)
    assert not blocks(ONE)
    blocks.close()


def test_changes_one_by_one():
    """What is released is let in at once, repeats and strangers are no errors."""
    blocks = Blocks(lambda: 100.0)
    blocks.apply([Block(ONE, 150.0), Block(ONE, None), Block(SIX, None)], [WIDE], 100.0)
    assert blocks(ONE)
    assert blocks(parse_address("2001:db8::77"))
    assert not blocks(parse_address("2001:db8:0:1::77"))
    blocks.apply([], [ONE, ONE, WIDE], 100.0)
    assert not blocks(ONE)
    assert blocks(parse_address("2001:db8::77"))
    blocks.apply([Block(ONE, 150.0)], [ONE], 100.0)
    assert blocks(ONE)
    blocks.apply([], [], 170.0)
    assert blocks.held == 1
    assert blocks.blocked(0.0).keys() == {SIX}


NETWORKS = st.tuples(st.integers(0, 2**32 - 1), st.integers(8, 32)).map(
    lambda pair: Network(4, pair[0], 32).supernet(pair[1])
)


@given(st.lists(NETWORKS, max_size=9), st.lists(NETWORKS, max_size=9), NETWORKS)
def test_as_looking_at_each(came, went, near):
    """The same as asking every network whether it covers the address."""
    blocks = Blocks(lambda: 0.0)
    blocks.replace([Block(network, None) for network in came[::2]], 0.0)
    blocks.apply([Block(network, None) for network in came], went, 0.0)
    left = {*came[::2]} - {*went} | {*came}
    assert blocks.blocked(0.0).keys() == left
    for network in (near, *came, *went):
        address = Network(4, network.value, 32)
        assert blocks(address) == any(some.covers(address) for some in left)
