"""What is left of a list, against slow and independent arithmetic."""

from hypothesis import given, settings
from hypothesis import strategies as st

from guard.feeds.clean import clean
from guard.lib.networks import Network, parse_network
from guard.protect.protection import Protectors

net = parse_network
BASE = net("185.0.0.0/24")
small = st.builds(
    lambda at, length: Network(4, (BASE.value + at) >> (8 - length) << (8 - length), 24 + length),
    st.integers(0, 255),
    st.integers(0, 8),
)


def addresses(networks):
    return {a for n in networks for a in range(n.value, n.last + 1)}


@given(st.lists(small, max_size=15), st.lists(small, max_size=5))
@settings(max_examples=200, deadline=None)
def test_exactly_the_protected_are_left_out(networks, protected):
    """Addresses, counts of entries and of repeats, each worked out one by one."""
    shield = Protectors()
    shield.replace("allow", [(network, "allow") for network in protected])
    got = clean(networks, shield)
    assert addresses(got.networks) == addresses(networks) - addresses(protected)
    assert got.entries == len(networks)
    assert got.duplicates == len(networks) - len(set(networks))
    met = [n for n in set(networks) if any(n.overlaps(p) for p in protected)]
    assert sum(got.removed.values()) == len(met)
    assert {network for network, _ in got.shown} == set(met)


def test_what_was_left_out_is_told_by_reason():
    """The most frequent first, with examples."""
    shield = Protectors()
    shield.replace("reserved", [(net("10.0.0.0/8"), "private")])
    shield.replace("allow", [(net("185.4.0.7"), "allow x")])
    got = clean([net("10.1.0.0/16"), net("10.2.0.0/16"), net("185.4.0.0/24")], shield)
    assert got.removed == {"private": 2, "allow x": 1}
    assert len(got.networks) == 8
    assert got.shown[-1] == (net("185.4.0.0/24"), "allow x")
