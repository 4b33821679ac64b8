"""guard/smtp/naming.py: strangers are told by confirmed reverse names, and nobody waits for it."""

import time

import pytest
from listening import Client

from guard.filters.scanners import load_signatures
from guard.lib.networks import parse_address, parse_network
from guard.lib.prefixes import Prefixes
from guard.protect.dns import pointer
from guard.protect.reserved import reserved
from guard.protect.reverse import MOST_KNOWN, MOST_WAITING
from guard.roles import Unavailable
from guard.smtp.naming import Naming
from guard.smtp.settings import shipped_scanners

SCANNER, LIAR, MAIL = map(parse_address, ("71.6.135.131", "91.92.251.215", "8.8.4.4"))
ZONE = {
    (pointer(SCANNER), "PTR"): ["census6.shodan.io."],
    ("census6.shodan.io", "A"): ["71.6.135.131"],
    (pointer(LIAR), "PTR"): ["census6.shodan.io."],
    (pointer(MAIL), "PTR"): ["mx.example.org."],
    ("mx.example.org", "A"): ["8.8.4.4"],
}
NEVER = Prefixes(network for network, _ in reserved())


class Dns:
    """Answers from ZONE, and keeps what it was asked."""

    def __init__(self):
        self.asked, self.down = [], False

    def __call__(self, name, kind):
        self.asked.append((name, kind))
        if self.down:
            raise Unavailable("DNS is down")
        return ZONE.get((name, kind), [])


class Served:
    """A listener that wants the shipped domains."""

    domains = load_signatures(shipped_scanners()).domains

    def __init__(self):
        self.told = []

    def named(self, addresses):
        self.told.append(set(addresses))


@pytest.fixture
def dns():
    """A table of names."""
    return Dns()


@pytest.fixture
def naming(dns):
    """With a listener in `served`."""
    made = Naming(dns, NEVER)
    made.served = Served()
    made.serve(made.served)
    return made


def test_only_a_name_that_leads_back_counts(naming, dns):
    """Whoever owns an address names it as he likes."""
    for address in (SCANNER, LIAR, MAIL):
        naming.noticed(address)
        assert naming.name(address) is None
    naming.step(0.0)
    assert naming.name(SCANNER) == "census6.shodan.io"
    assert naming.name(LIAR) is None
    assert naming.name(MAIL) is None
    assert naming.served.told == [{SCANNER}]
    # Of a name that says nothing not even the way back is asked for.
    assert ("mx.example.org", "A") not in dns.asked
    before = len(dns.asked)
    for address in (SCANNER, LIAR, MAIL):
        naming.noticed(address)
    naming.step(1.0)
    assert len(dns.asked) == before
    assert len(naming.served.told) == 1


def test_nobody_asks_for_what_is_no_stranger(naming, dns):
    """Loopback, private and documentation space have no public names."""
    for text in ("127.0.0.66", "10.1.2.3", "192.0.2.7", "2001:db8::1", "::1"):
        naming.noticed(parse_address(text))
    naming.step(0.0)
    assert dns.asked == []


def test_a_dns_that_is_down_says_nothing(naming, dns):
    """Whoever comes again is asked for again."""
    dns.down = True
    naming.noticed(SCANNER)
    naming.step(0.0)
    assert naming.name(SCANNER) is None
    dns.down = False
    naming.noticed(SCANNER)
    naming.step(1.0)
    assert naming.name(SCANNER) == "census6.shodan.io"


def test_nothing_is_asked_where_nobody_wants_to_know(dns):
    """With `scanner_names = false` in every listener."""
    naming = Naming(dns, NEVER)
    naming.noticed(SCANNER)
    naming.step(0.0)
    assert dns.asked == []


def test_a_flood_is_bounded(naming):
    """In what waits, in what is known, and in questions a second."""
    for number in range(50_000):
        naming.noticed(parse_address("8.0.0.0")._replace(value=(8 << 24) + number))
    assert len(naming._reverse._waiting) == MOST_WAITING
    naming.step(0.0)
    assert len(naming._reverse._known) <= MOST_KNOWN


def test_an_end_is_not_held_up(naming, dns):
    """After `stop` no question goes out."""
    naming.noticed(SCANNER)
    naming.stop()
    naming.step(0.0)
    assert dns.asked == []


@pytest.fixture
def listener(listen, dns):
    """A listener behind a proxy, that asks for names."""
    naming = Naming(dns, NEVER)
    server = listen(proxies=(parse_network("127.0.0.1"),), naming=naming)
    server.naming = naming
    return server


def caller(server, address):
    """A client whose address the proxy says."""
    client = Client(server.address)
    client.send(f"PROXY TCP4 {address} 127.0.0.1 5000 25\r\n")
    return client


def test_a_session_ends_when_its_name_is_known(listener):
    """The first session goes on until then; the next one meets 554 in the place of a banner."""
    said = "554 5.7.1 no service for scanners: Shodan"
    with caller(listener, SCANNER) as client, caller(listener, LIAR) as liar:
        assert client.reply().startswith("220 ")
        assert client.say("EHLO x").startswith("250-")
        assert liar.reply().startswith("220 ")
        listener.naming.step(0.0)
        assert client.reply() == said
        assert client.rest() == b""
        assert liar.say("NOOP").startswith("250 ")
    with caller(listener, SCANNER) as client:
        assert client.reply() == said
        assert client.rest() == b""
    with caller(listener, LIAR) as liar:
        assert liar.reply().startswith("220 ")
    kinds = [(record.peer_address.addr, record.kind) for record in listener.notes.records]
    assert kinds == [(str(SCANNER), "scanner")] * 2


def test_a_message_under_way_is_not_cut_off(listen, dns):
    """What is being received is received; the trusted are nobody's scanners."""
    naming = Naming(dns, NEVER)
    server = listen(
        proxies=(parse_network("127.0.0.1"),), naming=naming, relay_hosts=[str(SCANNER)]
    )
    with caller(server, SCANNER) as client:
        client.reply()
        naming.noticed(SCANNER)
        naming.step(0.0)
        assert client.say("NOOP").startswith("250 ")
    server.server._relay_hosts = Prefixes()
    naming._names = {}
    with caller(server, SCANNER) as client:
        assert client.reply().startswith("220 ")
        assert client.mail("b@example.net").startswith("250 ")
        client.say("DATA")
        naming._names = {}
        naming.step(1.0)
        assert client.say("x\r\n.").startswith("250 OK ids=")


def test_a_dns_that_hangs_holds_nobody_up(listener, dns):
    """Sessions take their usual time while the questions wait."""
    with caller(listener, SCANNER) as client:
        began = time.monotonic()
        client.reply()
        assert client.say("EHLO x").startswith("250-")
        assert client.say("QUIT").startswith("221 ")
        assert time.monotonic() - began < 1.0
    assert dns.asked == []


def test_switched_off(listen, dns):
    """`scanner_names = false`: nothing is asked, and a name says nothing."""
    naming = Naming(dns, NEVER)
    server = listen(proxies=(parse_network("127.0.0.1"),), naming=naming, scanner_names=False)
    with caller(server, SCANNER) as client:
        assert client.reply().startswith("220 ")
        naming.step(0.0)
        assert client.say("NOOP").startswith("250 ")
    assert dns.asked == []
