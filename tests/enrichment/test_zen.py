"""Spamhaus ZEN, asked of a name server on loopback: what is a listing and what never is."""

import pytest
from stubdns import StubDns

from guard.enrichment.answers import LookUpFailed, NotAsked
from guard.enrichment.zen import Zen, judge
from guard.lib.networks import parse_network
from guard.lib.secrets import Secret
from guard.protect.dns import resolver

NOON = 1_757_678_400.0
A, B = parse_network("192.0.2.1"), parse_network("2001:db8::1")
ZONE = "zen.example"
NAME = f"1.2.0.192.{ZONE}"
SIX = "1" + ".0" * 23 + ".8.b.d.0.1.0.0.2." + ZONE


def zen(stub, allowance, zone=ZONE):
    return Zen(lambda: Secret(zone), resolver([("127.0.0.1", stub.port)], 1.0), allowance)


def test_a_listing_is_read_from_the_address(allowance):
    """All lists that it is on; the address backwards, in both families."""
    zone = {(NAME, "A"): ["127.0.0.4", "127.0.0.3", "127.0.0.11"], (SIX, "A"): ["127.0.0.2"]}
    with StubDns(zone) as stub:
        found = zen(stub, allowance).look_up(A, NOON)
        assert (found.score, found.verdict) == (100, "CSS, XBL, PBL")
        assert zen(stub, allowance).look_up(B, NOON).verdict == "SBL"
        assert stub.asked == [(NAME, "A"), (SIX, "A")]


def test_no_such_name_is_not_listed(allowance):
    """NXDOMAIN, and a name without addresses."""
    with StubDns({(NAME, "TXT"): ['"x"']}) as stub:
        assert zen(stub, allowance).look_up(A, NOON) is None
        assert zen(stub, allowance).look_up(B, NOON) is None


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (["127.255.255.254"], "public resolvers"),
        (["127.255.255.252"], "name of its zone"),
        (["127.255.255.255"], "too often"),
        (["127.255.255.7"], "error 127.255.255.7"),
        (["127.0.0.2", "127.255.255.254"], "public resolvers"),
        (["203.0.113.80"], "somebody else answers"),
        (["127.0.1.2"], "somebody else answers"),
    ],
)
def test_an_error_is_never_a_listing(allowance, answer, said):
    """Nor is the address of a search page that a provider puts in the place of NXDOMAIN."""
    with StubDns({(NAME, "A"): answer}) as stub, pytest.raises(LookUpFailed, match=said) as caught:
        zen(stub, allowance).look_up(A, NOON)
    assert caught.value.wait == 3600


def test_a_server_that_fails_is_a_line_without_the_key(allowance):
    """The key of the Data Query Service is a part of the name that is asked."""
    with StubDns(None) as stub, pytest.raises(LookUpFailed) as caught:
        zen(stub, allowance, "sekrit0123456789.zen.dq.example").look_up(A, NOON)
    assert "SERVFAIL" in str(caught.value)
    assert "sekrit" not in str(caught.value)


def test_where_people_live_is_no_offence():
    """PBL alone has the score of nothing; a code of tomorrow is shown and counts as nothing."""
    assert [judge([f"127.0.0.{n}"]).score for n in (10, 11, 99)] == [0, 0, 0]
    assert judge(["127.0.0.99"]).verdict == "listed, 127.0.0.99"
    assert judge([]) is None


def test_only_addresses_are_asked_about(allowance):
    """A block has no name there."""
    service = Zen(lambda: Secret(ZONE), lambda name, kind: [], allowance)
    with pytest.raises(NotAsked):
        service.look_up(parse_network("192.0.2.0/24"), NOON)
    assert allowance.left(NOON) == 100
