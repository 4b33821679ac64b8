"""Which hosts take mail, asked of a real name server on loopback."""

import asyncio

import pytest
from next_hops import NameServer

from guard.lib.networks import parse_network
from guard.mail.policy import LOCAL
from guard.mail.replies import Undeliverable, one_line
from guard.mail.resolver import DnsResolver, Host, hosts
from guard.mail.routing import Route

ZONE = {
    ("example.com", "MX"): ["20 mx2.example.com.", "10 mx1.example.com.", "10 MX3.example.com."],
    ("mx1.example.com", "A"): ["192.0.2.1"],
    ("mx1.example.com", "AAAA"): ["2001:db8::1"],
    ("mx2.example.com", "A"): ["192.0.2.2"],
    ("mx3.example.com", "A"): ["192.0.2.3", "192.0.2.4"],
    ("plain.example", "A"): ["192.0.2.9"],
    ("null.example", "MX"): ["0 ."],
    ("lost.example", "MX"): ["10 nowhere.example."],
    ("self.example", "MX"): ["10 me.example.", "20 mx2.example.com."],
    ("me.example", "A"): ["127.0.0.1"],
    ("onlyself.example", "A"): ["127.0.0.1"],
    ("odd.example", "MX"): ["10 a\\000b.example."],
    ("half.example", "MX"): ["0 .", "10 mx2.example.com."],
    ("text.example", "TXT"): ['"no mail"'],
}


def find(name: str, *, port: int = 25, prohibited=LOCAL, broken: str = "") -> list[Host] | str:
    """The hosts for `name`, or the reply."""

    async def run() -> list[Host]:
        async with NameServer(ZONE) as server:
            server.broken.add(broken)
            resolver = DnsResolver(["127.0.0.1"], server.port)
            return await hosts(Route(name, port), resolver, prohibited, sorted)

    try:
        return asyncio.run(run())
    except Undeliverable as error:
        return one_line(error.response)


def test_by_preference():
    """Lowest first; of one host IPv6 and IPv4; names lower-case."""
    assert find("example.com", port=2525) == [
        Host("mx1.example.com", "2001:db8::1", 2525),
        Host("mx1.example.com", "192.0.2.1", 2525),
        Host("mx3.example.com", "192.0.2.3", 2525),
        Host("mx3.example.com", "192.0.2.4", 2525),
        Host("mx2.example.com", "192.0.2.2", 2525),
    ]


def test_without_mx_the_name_itself():
    """RFC 5321, 5.1: an implicit MX."""
    assert find("plain.example") == [Host("plain.example", "192.0.2.9", 25)]


@pytest.mark.parametrize(
    ("name", "reply"),
    [
        ("null.example", "556 5.1.10 null.example has a null MX: it takes no mail"),
        ("lost.example", "451 4.4.4 no host takes mail for lost.example"),
        ("nxdomain.example", "451 4.4.4 no host takes mail for nxdomain.example"),
        ("odd.example", "451 4.4.4 no host takes mail for odd.example"),
        ("text.example", "451 4.4.4 no host takes mail for text.example"),
        (
            "onlyself.example",
            "550 5.4.4 onlyself.example (127.0.0.1) is on the list of prohibited_hosts",
        ),
    ],
)
def test_nobody(name: str, reply: str):
    """The codes are KumoMTA's."""
    assert find(name) == reply


def test_prohibited_hosts_are_left_out():
    """One bad MX does not stop mail; with another list it is a host like any."""
    assert find("self.example") == [Host("mx2.example.com", "192.0.2.2", 25)]
    found = find("self.example", prohibited=[parse_network("192.0.2.0/24")])
    assert found == [Host("me.example", "127.0.0.1", 25)]


def test_a_dot_among_real_hosts_is_ignored():
    """RFC 7505, 3: a null MX stands alone."""
    assert find("half.example") == [Host("mx2.example.com", "192.0.2.2", 25)]


def test_a_broken_name_server_is_temporary():
    """SERVFAIL says nothing about the domain."""
    reply = find("example.com", broken="example.com")
    assert isinstance(reply, str)
    assert reply.startswith("451 4.4.3 looking up MX of example.com: ")


def test_one_mx_that_cannot_be_looked_up():
    """The others take the mail; where there are none, it is temporary."""
    assert find("self.example", broken="me.example", prohibited=[]) == [
        Host("mx2.example.com", "192.0.2.2", 25)
    ]
    reply = find("onlyself.example", broken="onlyself.example")
    assert isinstance(reply, str)
    assert reply.startswith("451 4.4.3 ")


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        (Route("192.0.2.7", 26, literal=True), Host("[192.0.2.7]", "192.0.2.7", 26)),
        (Route("2001:db8::7", 25, literal=True), Host("[IPv6:2001:db8::7]", "2001:db8::7", 25)),
    ],
)
def test_a_literal_asks_nobody(route: Route, expected: Host):
    """There is no name server here at all."""

    class Nobody:
        async def mx(self, name: str):
            raise AssertionError(name)

        addresses = mx

    assert asyncio.run(hosts(route, Nobody(), LOCAL, lambda r: r)) == [expected]


def test_answers_are_kept():
    """A second message to the same domain asks no second time."""

    async def run() -> int:
        async with NameServer(ZONE) as server:
            resolver = DnsResolver(["127.0.0.1"], server.port)
            for _ in range(3):
                await resolver.mx("example.com")
            return len(server.asked)

    assert asyncio.run(run()) == 1
