"""Networks as keys."""

from hypothesis import given
from hypothesis import strategies as st

from guard.lib.networks import Network
from guard.stores.keys import key_of, network_of

networks = st.builds(
    lambda version, value, length: Network(version, value, 32 if version == 4 else 128).supernet(
        length if version == 4 else length * 4
    ),
    st.sampled_from([4, 6]),
    st.integers(0, 2**32 - 1),
    st.integers(0, 32),
)


@given(networks, networks)
def test_a_key_names_one_network(one, other):
    """There and back, and no two networks share a key."""
    assert network_of(key_of(one)) == one
    assert (key_of(one) == key_of(other)) == (one == other)
