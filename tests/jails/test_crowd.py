"""Which block an address counts for; the rest is proved with the pipeline."""

import pytest

from guard.jails.crowd import block_of
from guard.jails.settings import CrowdSettings
from guard.lib.networks import parse_network


@pytest.mark.parametrize(
    ("network", "block"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:7:5::/64", "2001:db8:7::/48"),
        ("192.0.0.0/16", "192.0.0.0/16"),
    ],
)
def test_the_block_of_a_network(network, block):
    """/24 and /48; what is as wide already is its own."""
    assert block_of(parse_network(network), CrowdSettings()) == parse_network(block)


def test_one_address_is_no_crowd():
    """Settings that would ban a block for one address are a fault."""
    assert dict(CrowdSettings(addresses=1).faults())
    assert not dict(CrowdSettings(addresses=2).faults())
    assert dict(CrowdSettings(ipv4_prefix=8, ipv6_prefix=16).faults()).keys() == {
        "ipv4_prefix",
        "ipv6_prefix",
    }
