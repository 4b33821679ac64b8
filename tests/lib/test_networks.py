"""Networks parse strictly and agree with the ipaddress module."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.lib.networks import Network, canonical_address, parse_address, parse_network

ADDRESSES = st.ip_addresses()


@given(ADDRESSES, st.integers(0, 128))
def test_agrees_with_ipaddress(address, length):
    """Text, bounds and containment are those of the standard library, for any network."""
    length = min(length, address.max_prefixlen)
    theirs = ipaddress.ip_network((address, length), strict=False)
    if address.version == 6 and ipaddress.IPv6Address(address).ipv4_mapped:
        return
    ours = parse_network(str(theirs))
    assert str(ours) == str(theirs).removesuffix(f"/{address.max_prefixlen}")
    assert ours.value == int(theirs.network_address)
    assert ours.last == int(theirs.broadcast_address)
    assert ours.covers(parse_address(str(address)))
    assert ours.packed == theirs.network_address.packed


@given(ADDRESSES, ADDRESSES, st.integers(0, 32), st.integers(0, 32))
def test_overlap_is_symmetric_and_right(one, other, length, other_length):
    """Two networks overlap as ipaddress says, whichever is asked."""
    theirs = [
        ipaddress.ip_network((a, n), strict=False)
        for a, n in ((one, length), (other, other_length))
    ]
    ours = [parse_network(str(n)) for n in theirs]
    expected = theirs[0].version == theirs[1].version and theirs[0].overlaps(theirs[1])
    assert ours[0].overlaps(ours[1]) == ours[1].overlaps(ours[0]) == expected


def test_mapped_addresses_are_the_ipv4_ones():
    """An IPv4-mapped address or block is never a way round an IPv4 ban."""
    assert parse_address("::ffff:192.0.2.1") == parse_address("192.0.2.1")
    assert parse_network("::ffff:192.0.2.0/120") == Network(4, 0xC0000200, 24)


@pytest.mark.parametrize(
    "text",
    ["", "1.2.3", "01.2.3.4", "1.2.3.4 ", "1.2.3.4\n", "fe80::1%eth0", "[::1]", "x", "1.2.3.4:25",
     "1.2.3.256", "::1\0", "\N{ARABIC-INDIC DIGIT ONE}.2.3.4", "\ud800"],
)  # fmt: skip
def test_no_address(text):
    """Names, ports, zones, blanks and leading zeros are refused."""
    with pytest.raises(ValueError, match="not an IP address"):
        parse_address(text)


@pytest.mark.parametrize("text", ["1.2.3.0/33", "::/129", "1.2.3.0/", "1.2.3.0/x", "1.2.3.0/-1",
                                  "1.2.3.0/24/24", "::ffff:1.2.3.4/90"])  # fmt: skip
def test_no_network(text):
    """A prefix length must be a number in range."""
    with pytest.raises(ValueError, match="not a valid CIDR"):
        parse_network(text)


def test_host_bits_name_what_was_meant():
    """The words are KumoMTA's."""
    with pytest.raises(ValueError, match=r"Did you mean 10\.0\.0\.0/24\?"):
        parse_network("10.0.0.1/24")


def test_supernet_and_canonical():
    """Masking keeps wider blocks; text comes back in one form."""
    assert str(parse_address("2001:db8::1:2:3:4").supernet(64)) == "2001:db8:0:0::/64".replace(
        "2001:db8:0:0::", "2001:db8::"
    )
    assert parse_network("10.0.0.0/8").supernet(24) == parse_network("10.0.0.0/8")
    assert canonical_address("2001:DB8:0::1") == "2001:db8::1"
