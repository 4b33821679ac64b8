"""Questions to a real DNS server on loopback."""

import pytest
from stubdns import StubDns

from guard.lib.networks import parse_address
from guard.protect.dns import addresses, confirmed, pointer, resolver
from guard.roles import Unavailable

ADDRESS = parse_address("185.4.0.7")
REVERSE = "7.0.4.185.in-addr.arpa"
ZONE = {
    ("host.example", "A"): ["185.4.0.7"],
    ("host.example", "AAAA"): ["2a03::7"],
    ("host.example", "TXT"): ['"v=spf1 " "ip4:185.4.0.7" " -all"'],
    ("host.example", "MX"): ["10 mx.host.example."],
    ("broken.example", "A"): None,
    ("many.example", "A"): [f"185.4.{i}.1" for i in range(25)],
    (REVERSE, "PTR"): ["Host.Example.", "liar.example."],
    ("8.0.4.185.in-addr.arpa", "PTR"): ["host.example.", "example.", "host.example.evil.net."],
    ("9.0.4.185.in-addr.arpa", "PTR"): None,
}


def test_answers_are_text():
    """Each type that protection asks for; strings of a TXT record are joined."""
    with StubDns(ZONE) as stub:
        ask = resolver([("127.0.0.1", stub.port)])
        assert addresses("host.example", ask) == [ADDRESS, parse_address("2a03::7")]
        assert ask("host.example", "TXT") == ["v=spf1 ip4:185.4.0.7 -all"]
        assert ask("host.example", "MX") == ["mx.host.example."]
        assert ask("nobody.example", "A") == []
        assert ask("host.example", "PTR") == []
        assert len(addresses("many.example", ask)) == 25


@pytest.mark.parametrize("name", ["broken.example", "a" * 70 + ".example", "..", "\udcff.example"])
def test_what_cannot_be_asked_or_answered_is_unavailable(name):
    """A server's failure and a name that is none are one error, of ours."""
    with StubDns(ZONE) as stub:
        ask = resolver([("127.0.0.1", stub.port)])
        with pytest.raises(Unavailable, match=r".+"):
            ask(name, "A")


def test_reverse_names_are_believed_only_when_they_lead_back():
    """PTR of a stranger is his own word; a suffix is matched at a dot."""
    with StubDns(ZONE) as stub:
        ask = resolver([("127.0.0.1", stub.port)])
        assert confirmed(ADDRESS, [".example"], ask) == "host.example"
        assert confirmed(ADDRESS, [".host.example"], ask) == "host.example"
        assert confirmed(ADDRESS, [".ost.example", ".other"], ask) is None
        assert confirmed(parse_address("185.4.0.8"), [".example"], ask) is None
        assert confirmed(parse_address("185.4.0.77"), [".example"], ask) is None
        with pytest.raises(Unavailable):
            confirmed(parse_address("185.4.0.9"), [".example"], ask)


def test_pointer_names():
    """The two forms of reverse names."""
    assert pointer(ADDRESS) == REVERSE
    assert pointer(parse_address("2001:db8::1")) == ("1." + "0." * 23 + "8.b.d.0.1.0.0.2.ip6.arpa")
