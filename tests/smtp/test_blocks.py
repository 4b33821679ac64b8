"""guard/smtp/blocks.py: who is turned away, and until when."""

from hypothesis import given
from hypothesis import strategies as st

from guard.lib.networks import Network, parse_address, parse_network
from guard.smtp.blocks import Blocks


def test_addresses_and_networks_until_their_end():
    """An address, a block around one, for ever and for a while."""
    now = [100.0]
    blocks = Blocks(lambda: now[0])
    assert not blocks(parse_address("192.0.2.1"))
    blocks.replace(
        {
            parse_address("192.0.2.1"): None,
            parse_network("198.51.100.0/24"): 200.0,
            parse_network("2001:db8::/64"): None,
        }
    )
    assert blocks(parse_address("192.0.2.1"))
    assert not blocks(parse_address("192.0.2.2"))
    assert blocks(parse_address("198.51.100.77"))
    assert blocks(parse_address("2001:db8::77"))
    assert not blocks(parse_address("2001:db8:0:1::77"))
    now[0] = 200.0
    assert not blocks(parse_address("198.51.100.77"))
    blocks.replace({})
    assert not blocks(parse_address("192.0.2.1"))


@given(
    st.dictionaries(
        st.tuples(st.integers(0, 2**32 - 1), st.integers(8, 32)), st.none(), max_size=9
    ),
    st.integers(0, 2**32 - 1),
)
def test_as_looking_at_each(spec, value):
    """The same as asking every network whether it covers the address."""
    networks = {Network(4, value, 32).supernet(length) for value, length in spec}
    address, blocks = Network(4, value, 32), Blocks(lambda: 0.0)
    blocks.replace(dict.fromkeys(networks))
    assert blocks(address) == any(network.covers(address) for network in networks)
