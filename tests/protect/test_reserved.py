"""Reserved space is what the registries say."""

import ipaddress

from hypothesis import given, settings
from hypothesis import strategies as st

from guard.lib.networks import Network, parse_network
from guard.lib.prefixes import Prefixes
from guard.protect.reserved import reserved

RESERVED = (
    "10.1.2.3 100.64.0.1 127.0.0.53 169.254.169.254 172.31.255.255 192.0.0.8 192.0.2.1 "
    "192.88.99.1 192.168.255.255 198.19.255.255 198.51.100.7 203.0.113.9 224.0.0.1 "
    "255.255.255.255 0.0.0.0 :: ::1 fe80::1 fd00::1 ff02::1 2001:db8::1 2001::1 2002::1 "
    "3fff::1 64:ff9b::1 100::1"
)
GLOBAL = (
    "1.1.1.1 11.0.0.0 100.63.255.255 100.128.0.0 128.0.0.1 172.32.0.0 192.0.1.1 192.31.196.1 "
    "192.175.48.1 198.17.0.1 198.20.0.1 223.255.255.255 2001:1::1 2001:20::1 2001:200::1 "
    "2003::1 2606:4700::1 2a00:1450::1"
)
PREFIXES = Prefixes(network for network, _ in reserved())


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=300, deadline=None)
def test_every_ipv4_address_that_is_not_global_is_reserved(value):
    """What the standard library calls not global or multicast is in the table."""
    address = ipaddress.IPv4Address(value)
    if not address.is_global or address.is_multicast:
        assert PREFIXES.covers(Network(4, value, 32))


@given(st.integers(0, 2**128 - 1))
@settings(max_examples=300, deadline=None)
def test_only_global_unicast_ipv6_can_be_blocked(value):
    """2000::/3 is the whole of it (RFC 4291, 2.4)."""
    if value >> 125 != 1:
        assert PREFIXES.covers(Network(6, value, 128))


def test_known_examples():
    """A table of both kinds, the exceptions inside reserved blocks included."""
    for text in RESERVED.split():
        assert PREFIXES.covers(parse_network(text)), text
    for text in GLOBAL.split():
        assert not PREFIXES.overlaps(parse_network(text)), text


def test_each_entry_names_its_source():
    """An operator can look up why."""
    assert all("RFC" in why for _, why in reserved())
