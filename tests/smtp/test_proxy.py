"""guard/smtp/proxy.py: whom a listed proxy brings, and nobody else."""

import socket
import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from listening import HOST, Client

from guard.lib.networks import parse_network
from guard.smtp.proxy import BadHeaderError, Header

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
LOOPBACK = {"proxies": (parse_network("127.0.0.0/8"),)}


def v2(source, target, *, command=1, family=None, tail=b""):
    """A version 2 header from (address, port) to (address, port)."""
    kind = socket.AF_INET6 if ":" in source[0] else socket.AF_INET
    ends = socket.inet_pton(kind, source[0]) + socket.inet_pton(kind, target[0])
    ends += struct.pack("!HH", source[1], target[1]) + tail
    if family is None:
        family = 0x21 if kind == socket.AF_INET6 else 0x11
    return SIGNATURE + bytes([0x20 | command, family]) + struct.pack("!H", len(ends)) + ends


V4 = (("192.0.2.7", 56324), ("203.0.113.10", 25))
V6 = (("2001:db8::7", 56324), ("2001:db8::25", 25))
GOOD = [
    (b"PROXY TCP4 192.0.2.7 203.0.113.10 56324 25\r\n", ("192.0.2.7", 56324, "203.0.113.10", 25)),
    (b"PROXY TCP6 2001:db8::7 2001:db8::25 1 25\r\n", ("2001:db8::7", 1, "2001:db8::25", 25)),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", None),
    (v2(*V4), ("192.0.2.7", 56324, "203.0.113.10", 25)),
    (v2(*V6), ("2001:db8::7", 56324, "2001:db8::25", 25)),
    (v2(*V4, tail=b"\x04\x00\x03abc"), ("192.0.2.7", 56324, "203.0.113.10", 25)),
    (v2(*V4, command=0), None),
    (SIGNATURE + b"\x20\x00\x00\x00", None),
]
BAD = [
    b"EHLO x\r\n",
    b"PROXY TCP4 192.0.2.7 203.0.113.10 56324\r\n",
    b"PROXY TCP4 2001:db8::7 203.0.113.10 1 25\r\n",
    b"PROXY TCP4 192.0.2.7 203.0.113.10 70000 25\r\n",
    b"PROXY TCP4 example.org 203.0.113.10 1 25\r\n",
    b"PROXY TCP4  192.0.2.7 203.0.113.10 1 25\r\n",
    b"PROXY " + b"x" * 200,
    b"PROXY\r\n",
    SIGNATURE + b"\x31\x11\x00\x00",
    SIGNATURE + b"\x22\x11\x00\x00",
    SIGNATURE + b"\x21\x11\x00\x04abcd",
    SIGNATURE + b"\x21\x11\xff\xff",
    v2(*V4, family=0x12),
    SIGNATURE + b"\x21\x31\x00\xd8" + b"/" * 216,
    b"\0",
]


@pytest.mark.parametrize(("header", "route"), GOOD)
def test_good_headers(header, route):
    """Whole, byte by byte, and with the client's first bytes behind it."""
    assert Header().feed(header + b"EHLO x\r\n") == (route, b"EHLO x\r\n")
    bytewise = Header()
    for at in range(len(header) - 1):
        assert bytewise.feed(header[at : at + 1]) is None
    assert bytewise.feed(header[-1:]) == (route, b"")


@pytest.mark.parametrize("header", BAD)
def test_bad_headers(header):
    """Whoever should bring a header and brings something else is cut off, for a reason in words."""
    with pytest.raises(BadHeaderError) as error:
        Header().feed(header)
    assert str(error.value)
    assert "exception" not in str(error.value)


@given(
    st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11"]),
    st.binary(),
)
def test_any_bytes(start, data):
    """Garbage is refused or waits for more; nothing else ever comes of it."""
    with suppress(BadHeaderError):
        Header().feed(start + data)


@pytest.mark.parametrize("header", [GOOD[0][0], GOOD[4][0]])
def test_the_client_is_who_the_proxy_says(listen, header):
    """Reply, record, policy and spool see the address behind the proxy."""
    server = listen(relay_hosts=["127.0.0.1"], **LOOPBACK)
    with Client(server.address) as client:
        client.send(header + b"EHLO x\r\n")
        assert client.reply().startswith(f"220 {HOST} ")
        assert client.reply().startswith("250-")
        assert client.mail("a@example.net") == (
            "550 5.7.1 relaying not permitted for 192.0.2.7:56324"
        )
    assert server.notes.records[0].peer_address.addr == "192.0.2.7"


def test_ipv6_and_mapped_clients(listen):
    """An IPv6 client is written in brackets; an IPv4-mapped one is the IPv4 one."""
    server = listen(**LOOPBACK)
    mapped = v2(("::ffff:192.0.2.7", 1), ("::ffff:192.0.2.1", 25))
    for header, name in ((GOOD[5][0], "[2001:db8::7]:56324"), (mapped, "192.0.2.7:1")):
        with Client(server.address) as client:
            client.send(header)
            client.reply()
            assert client.mail("a@b.c") == f"550 5.7.1 relaying not permitted for {name}"


def test_the_proxy_speaking_for_itself(listen):
    """LOCAL is a health check: the session is the proxy's own."""
    server = listen(relay_hosts=["127.0.0.1"], **LOOPBACK)
    with Client(server.address) as client:
        client.send(v2(*V4, command=0))
        assert client.reply().startswith("220 ")
        assert client.mail("a@b.c") == "250 OK <a@b.c>"


def test_a_proxy_without_header_is_cut_off(listen):
    """No banner, no record, and the next connection is none the worse for it."""
    server = listen(**LOOPBACK)
    for said in (b"EHLO x\r\n", b"\x16\x03\x01"):
        with Client(server.address) as client:
            client.send(said)
            with suppress(ConnectionResetError):
                assert client.rest() == b""
    assert server.notes.records == []
    assert not server.server._connections


def test_a_silent_proxy_is_closed_in_time(listen):
    """The header too has to come within client_timeout."""
    server = listen(client_timeout=0.3, **LOOPBACK)
    with Client(server.address) as client:
        client.send(b"PROXY ")
        assert client.rest() == b""


def test_implicit_tls_behind_a_proxy(listen, certificate):
    """The header comes first, in the clear, then the client's handshake, even in one packet."""
    server = listen(tls_implicit=True, **LOOPBACK, **certificate)
    with Client(server.address) as client:
        client.send(GOOD[0][0])
        client.secure()
        assert client.reply().startswith("220 ")
        assert client.mail("a@b.c").endswith(" 192.0.2.7:56324")
