"""Sets of networks: exact, minimal, and quick."""

import ipaddress
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.lib.networks import Network, parse_address, parse_network
from guard.lib.prefixes import (
    Prefixes,
    PrefixMap,
    collapse,
    parse_networks,
    span,
    subtract,
)

net = parse_network
# A /24's worth of IPv4 and IPv6, so that networks meet often and addresses can be counted.
BASE = {4: (0xC0000200, 24), 6: (0x20010DB8 << 96, 120)}


def _small(version, value, length):
    base, bits = BASE[version]
    return Network(version, (base + value) >> (8 - length) << (8 - length), bits + length)


small = st.builds(_small, st.sampled_from([4, 6]), st.integers(0, 255), st.integers(0, 8))
many = st.lists(small, max_size=20)


def addresses(networks):
    """Every address, one by one: the slow truth."""
    return {(n.version, a) for n in networks for a in range(n.value, n.last + 1)}


@given(many)
@settings(max_examples=200, deadline=None)
def test_collapse_keeps_every_address_in_the_fewest_blocks(networks):
    """The same addresses, and exactly what the standard library's collapse gives."""
    got = collapse(networks)
    assert addresses(got) == addresses(networks)
    expected = []
    for version in (4, 6):
        some = [ipaddress.ip_network(str(n)) for n in networks if n.version == version]
        expected += ipaddress.collapse_addresses(some)
    assert [str(ipaddress.ip_network(str(n))) for n in got] == [str(n) for n in expected]


@given(many, many)
@settings(max_examples=200, deadline=None)
def test_subtract_removes_exactly(networks, minus):
    """What is left is what was there and is not in `minus`, as disjoint blocks."""
    left = subtract(networks, minus)
    assert addresses(left) == addresses(networks) - addresses(minus)
    assert sum(n.last - n.value + 1 for n in left) == len(addresses(left))


@given(many, small)
@settings(max_examples=200, deadline=None)
def test_covers_and_overlaps_are_by_address(networks, asked):
    """`covers` is every address, `overlaps` is any."""
    held, wanted = addresses(networks), addresses([asked])
    prefixes = Prefixes(networks)
    assert prefixes.covers(asked) == (wanted <= held)
    assert prefixes.overlaps(asked) == bool(wanted & held)


@given(many, small)
@settings(max_examples=300, deadline=None)
def test_a_map_gives_the_first_named_network_for_every_address(networks, asked):
    """For one address: the first entry that holds it. For a block: something that it meets."""
    entries = [(n, str(i)) for i, n in enumerate(networks)]
    made = PrefixMap(entries)
    for address in addresses([asked]):
        one = Network(address[0], address[1], 32 if address[0] == 4 else 128)
        expected = next((text for n, text in entries if n.covers(one)), None)
        assert made.find(one) == expected
    found = made.find(asked)
    assert (found is not None) == any(n.overlaps(asked) for n in networks)
    inside = list(made.within(asked))
    assert addresses(n for n, _ in inside) == addresses([asked]) & addresses(networks)


def test_ends_of_the_address_space():
    """The first and last address, and everything, are no special cases."""
    for text in ("0.0.0.0/0", "::/0", "255.255.255.255", "0.0.0.0"):
        assert collapse([net(text)]) == [net(text)]
        assert Prefixes([net(text)]).covers(net(text))
        assert PrefixMap([(net(text), "x")]).find(net(text)) == "x"
    assert collapse([net("0.0.0.0/1"), net("128.0.0.0/1")]) == [net("0.0.0.0/0")]
    rest = subtract([net("::/0")], [net("::1")])
    assert len(rest) == 128
    assert not Prefixes(rest).overlaps(net("::1"))
    assert collapse([*rest, net("::1")]) == [net("::/0")]


def test_sets_compare_by_their_addresses():
    """Two ways to write one set are equal; an empty one is false."""
    assert Prefixes([net("10.0.0.0/25"), net("10.0.0.128/25")]) == Prefixes([net("10.0.0.0/24")])
    assert hash(Prefixes([net("::1")])) == hash(Prefixes([net("::1"), net("::1")]))
    assert not Prefixes()
    assert Prefixes([net("::1")])
    assert Prefixes([net("10.0.0.0/24")]).addresses(4) == 256
    assert "10.0.0.0/24" in repr(Prefixes([net("10.0.0.0/24")]))


def test_ranges_become_blocks():
    """A range is cut into the fewest blocks; an address and a CIDR block are themselves."""
    assert [str(n) for n in parse_networks("192.0.2.5-192.0.2.8")] == [
        "192.0.2.5",
        "192.0.2.6/31",
        "192.0.2.8",
    ]
    assert parse_networks("192.0.2.0 - 192.0.2.255") == [net("192.0.2.0/24")]
    assert parse_networks("2001:db8::/32") == [net("2001:db8::/32")]
    assert parse_networks("192.0.2.1") == [parse_address("192.0.2.1")]
    assert list(span(4, 5, 4)) == []


@pytest.mark.parametrize(
    "text", ["192.0.2.9-192.0.2.1", "192.0.2.1-::1", "1-2", "-", "a-b", "192.0.2.1-", "192.0.2.1/8"]
)
def test_what_is_no_range_is_refused(text):
    """Reversed, mixed and malformed ranges raise ValueError."""
    with pytest.raises(ValueError, match=r".+"):
        parse_networks(text)


def test_a_lookup_among_100_000_networks_is_quick():
    """A few microseconds at the very most, on a busy machine, hit or miss."""
    entries = [(Network(4, i << 15, 24), "x") for i in range(100_000)]
    made = PrefixMap(entries)
    asked = [Network(4, (i * 7919) % (1 << 32), 32) for i in range(10_000)]
    best = 1.0
    for _ in range(5):
        begun = time.thread_time()
        for one in asked:
            made.find(one)
        best = min(best, (time.thread_time() - begun) / len(asked))
    assert best < 5e-6
