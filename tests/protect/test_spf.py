"""SPF trees, whole, broken and hostile, from a DNS server on loopback."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stubdns import StubDns

from guard.lib.networks import Network, parse_network
from guard.lib.prefixes import Prefixes
from guard.protect.dns import resolver
from guard.protect.reserved import reserved
from guard.protect.spf import BadSpf, bounded, listed
from guard.roles import Unavailable

net = parse_network
BOGONS = Prefixes(network for network, _ in reserved())


def texts(networks):
    return {str(network) for network in networks}


def zone(**records):
    """A zone of SPF records; names use _ for the dot."""
    return {(name.replace("_", "."), "TXT"): [f'"{text}"'] for name, text in records.items()}


def ask_in(table):
    """The same without a socket, for the many cases."""
    return lambda name, kind: [t.strip('"') for t in table.get((name.rstrip("."), kind), [])]


def test_a_tree_is_listed_over_the_wire():
    """include, redirect, a, mx, ip4, ip6 and their prefix lengths, through real questions."""
    table = {
        **zone(
            big_example="v=spf1 include:one.example ~include:not.example redirect=two.example",
            one_example="v=spf1 ip4:185.1.0.0/16 ip6:2a03:1::/32 -ip4:185.9.9.9 ?all",
            two_example="v=spf1 a a:host.example/24//64 mx -all unknown=x",
        ),
        ("two.example", "A"): ["185.2.0.1"],
        ("host.example", "A"): ["185.3.0.77"],
        ("host.example", "AAAA"): ["2a03:3::77"],
        ("two.example", "MX"): ["10 mx1.two.example.", "20 mx2.two.example."],
        ("mx1.two.example", "A"): ["185.4.0.1"],
        ("mx2.two.example", "AAAA"): ["2a03:4::1"],
    }
    table[("big.example", "TXT")].append('"some other text"')
    with StubDns(table) as stub:
        found = listed("big.example", resolver([("127.0.0.1", stub.port)]))
    assert texts(found) == {
        "185.1.0.0/16",
        "2a03:1::/32",
        "185.2.0.1",
        "185.3.0.0/24",
        "2a03:3::/64",
        "185.4.0.1",
        "2a03:4::1",
    }
    assert ("not.example", "TXT") not in stub.asked


def test_a_server_that_fails_is_no_empty_record():
    """Unavailable goes up, so that the last good list stays."""
    with StubDns({("x.example", "TXT"): None}) as stub, pytest.raises(Unavailable):
        listed("x.example", resolver([("127.0.0.1", stub.port)]))


@pytest.mark.parametrize(
    ("why", "records"),
    [
        ("no SPF", {}),
        ("no SPF", {"x_example": "v=spf10 ip4:185.1.0.0/16"}),
        ("macro", {"x_example": "v=spf1 exists:%{i}.x.example -all"}),
        ("macro", {"x_example": "v=spf1 include:%{d}.example -all"}),
        ("everybody", {"x_example": "v=spf1 +all"}),
        ("everybody", {"x_example": "v=spf1 all"}),
        ("everybody", {"x_example": "v=spf1 include:y.example -all", "y_example": "v=spf1 all"}),
        ("includes itself", {"x_example": "v=spf1 include:x.example -all"}),
        (
            "includes itself",
            {"x_example": "v=spf1 include:y.example", "y_example": "v=spf1 redirect=x.example"},
        ),
        ("no SPF", {"x_example": "v=spf1 include:gone.example -all"}),
        ("error", {"x_example": "v=spf1 ipv4:185.1.0.0/16 -all"}),
        ("error", {"x_example": "v=spf1 include: -all"}),
        ("host part", {"x_example": "v=spf1 ip4:185.1.0.1/16 -all"}),
        ("not an IP", {"x_example": "v=spf1 ip4:host.example -all"}),
        ("prefix length", {"x_example": "v=spf1 a/33 -all"}),
        ("prefix length", {"x_example": "v=spf1 a/x -all"}),
        ("without address", {"x_example": "v=spf1 a:g1.example a:g2.example a:g3.example -all"}),
        ("look-ups", {"x_example": "v=spf1 " + "ptr " * 11}),
        (
            "look-ups",
            {"x_example": "v=spf1 " + "include:y.example " * 11, "y_example": "v=spf1 -all"},
        ),
        (
            "networks",
            {
                "x_example": "v=spf1 "
                + " ".join(f"ip4:185.{i >> 8}.{i & 255}.1" for i in range(4097))
            },
        ),
    ],
)
def test_broken_and_hostile_records_are_refused(why, records):
    """Errors, macros, loops, floods: the record says nothing, and says why."""
    with pytest.raises(BadSpf, match=why):
        listed("x.example", ask_in(zone(**records)))


def test_two_records_and_many_exchangers_are_refused():
    """RFC 7208, 4.5 and 4.6.4."""
    two = {("x.example", "TXT"): ["v=spf1 -all", "v=spf1 +mx -all"]}
    with pytest.raises(BadSpf, match="2 SPF records"):
        listed("x.example", ask_in(two))
    many = zone(x_example="v=spf1 mx -all") | {("x.example", "MX"): [f"m{i}." for i in range(11)]}
    with pytest.raises(BadSpf, match="exchangers"):
        listed("x.example", ask_in(many))


@given(st.text(st.characters(codec="utf-8"), max_size=60))
@settings(max_examples=400, deadline=None)
def test_any_record_is_listed_or_refused(text):
    """Nothing but BadSpf comes out of any text."""
    try:
        found = listed("x.example", ask_in({("x.example", "TXT"): ["v=spf1 " + text]}))
    except BadSpf:
        return
    assert all(isinstance(network, Network) for network in found)


KNOWN = [net("185.0.0.0/13"), net("2a03::/32")]


def test_a_record_within_bounds_is_taken_collapsed():
    """Known ranges may be as wide as they are; new ones up to /16 and /32; neighbours join."""
    found = [net("185.0.0.0/15"), net("146.10.0.0/16"), net("146.11.0.0/16"), net("2a04::/32")]
    assert texts(bounded(KNOWN, found, BOGONS)) == {"185.0.0.0/15", "146.10.0.0/15", "2a04::/32"}


@pytest.mark.parametrize(
    ("why", "found"),
    [
        ("wider than /16", ["146.0.0.0/15"]),
        ("wider than /16", ["130.0.0.0/8"]),
        ("wider than /32", ["2a04::/31"]),
        ("not global", ["10.0.0.0/24"]),
        ("not global", ["127.0.0.1"]),
        ("not global", ["2001:db8::1"]),
        ("not global", ["185.0.0.1", "0.0.0.0/0"]),
        ("4 times", [f"{a}.{b}.0.0/16" for a in (146, 147) for b in range(20)]),
        ("4 times", [f"2a04:{b:x}::/32" for b in range(1, 6)]),
    ],
)
def test_a_hijacked_record_is_refused(why, found):
    """Too wide, not global, or far more than was known."""
    known = [net("185.0.0.0/15")] if "4 times" in why else []
    with pytest.raises(BadSpf, match=why):
        bounded(known or KNOWN[1:], [net(text) for text in found], BOGONS)


def test_a_large_sender_without_shipped_ranges_can_be_learnt():
    """A little more than a /16 in all is, three /16 are not."""
    large = [parse_network(n) for n in ("185.0.0.0/17", "185.3.0.0/17", "185.5.0.0/20")]
    assert sum(n.length == 17 for n in bounded([], large, Prefixes())) == 2
    wide = [parse_network(f"185.{i}.0.0/16") for i in (0, 2, 4)]
    with pytest.raises(BadSpf, match="addresses"):
        bounded([], wide, Prefixes())
