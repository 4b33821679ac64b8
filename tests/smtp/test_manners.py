"""Greet pause and tarpit over real sockets: who talks too early, and who waits how long."""

import socket
import time

import pytest
from listening import HOST, Client

from guard.lib.networks import parse_network


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b"EHLO x\r\n", "early_talker"),
        (b"EHLO we-guess.mozilla.com\r\n", "early_talker"),
        (b"GET / HTTP/1.1\r\n\r\n", "non_smtp"),
        (b"\x16\x03\x01\x02", "non_smtp"),
        (b"EHLO ylmf-pc\r\n", "scanner"),
        (b"AUTH PLAIN AGRhbmllbAB0aWdlcg==\r\n", "early_talker"),
    ],
)
def test_who_talks_before_the_banner_is_sent_away(listen, said, kind):
    """At once, without a banner, with one record."""
    server = listen(greet_pause=30.0)
    with Client(server.address) as client:
        client.send(said)
        assert client.rest() == b"554 5.5.1 mx.example.com speaks first\r\n"
    [(code, _, command, found)] = server.notes.rejections()
    assert (code, found) == (554, kind)
    assert "AGRh" not in command


def test_who_waits_is_greeted(listen):
    """The banner comes when the pause is over."""
    server = listen(greet_pause=0.3)
    began = time.monotonic()
    with server.connect() as client:
        assert time.monotonic() - began > 0.25
        assert client.say("NOOP").startswith("250 ")
    assert server.notes.records == []


def test_thunderbird_may_ask_at_once(listen):
    """Its search for settings says EHLO without waiting, whole or in pieces."""
    server = listen(greet_pause=0.3)
    for pieces in ([b"EHLO we-guess.mozilla.org\r\n"], [b"EHLO we-", b"guess.mozilla.org\r\n"]):
        with Client(server.address) as client:
            for piece in pieces:
                client.send(piece)
            assert client.reply().startswith(f"220 {HOST} ")
            assert client.reply().startswith("250-mx.example.com greets we-guess.mozilla.org")
    assert server.notes.records == []


def test_no_pause_for_relay_hosts_and_none_on_submission_ports(listen, certificate):
    """Whom we relay for, and where people hand in mail, nobody waits."""
    with listen(greet_pause=30.0, relay_hosts=["127.0.0.1"]).connect() as client:
        assert client.say("NOOP").startswith("250 ")
    server = listen(greet_pause=30.0, tls_implicit=True, **certificate)
    with Client(server.address) as client:
        client.secure()
        assert client.reply().startswith("220 ")


def test_who_leaves_during_the_pause_leaves_nothing(listen):
    """No timer, no record."""
    server = listen(greet_pause=0.2)
    with Client(server.address):
        pass
    with server.connect():
        pass
    assert server.notes.records == []


def test_a_request_without_an_end_is_answered(listen):
    """Who sends the first line of HTTP and waits is told, not kept waiting."""
    server = listen()
    with server.connect() as client:
        assert client.say("GET / HTTP/1.1") == "554 5.7.1 this is SMTP, not HTTP"
        assert client.rest() == b""
    assert [row[3] for row in server.notes.rejections()] == ["non_smtp"]


def test_the_tarpit_holds_errors_back(listen):
    """An error is answered later, and what was pipelined behind it after that, in order."""
    server = listen(tarpit=0.2)
    with server.connect() as client:
        began = time.monotonic()
        client.send("bogus\r\nNOOP\r\nbogus\r\nQUIT\r\n")
        assert [client.reply()[:3] for _ in range(4)] == ["502", "250", "502", "221"]
        assert time.monotonic() - began > 0.55
    assert server.server.held == 0


def test_who_hangs_up_in_the_tarpit_or_in_a_request_is_answered(listen):
    """Scripts send all and close their side; what was held back comes all the same."""
    server = listen(tarpit=0.2)
    with server.connect() as client:
        client.send("bogus\r\nNOOP\r\n")
        client.socket.shutdown(socket.SHUT_WR)
        assert client.rest() == (
            b"502 5.5.1 Command unimplemented\r\n250 the goggles do nothing\r\n"
        )
    with server.connect() as client:
        client.send("GET / HTTP/1.1\r\n")
        client.socket.shutdown(socket.SHUT_WR)
        assert client.rest() == b"554 5.7.1 this is SMTP, not HTTP\r\n"
    assert server.server.held == 0


def test_not_too_many_are_held(listen):
    """Beyond tarpit_sessions errors are answered at once."""
    server = listen(tarpit=30.0, tarpit_sessions=1, tarpit_max=30.0)
    with server.connect() as held, server.connect() as free:
        held.send("bogus\r\n")
        while not server.server.held:
            time.sleep(0.01)
        assert free.say("bogus").startswith("502 ")
        assert free.say("bogus").startswith("502 ")
    server.stop()
    assert server.server.held == 0


def test_any_number_of_errors_at_once_is_answered_when_nobody_is_held(listen):
    """However many errors an operator allows, and come in one piece."""
    many = 3000
    server = listen(
        tarpit=1.0, tarpit_sessions=0, max_errors=many + 1, max_failed_recipients=many + 1
    )
    with server.connect() as client:
        client.send("bogus\r\n" * many + "QUIT\r\n")
        assert [client.reply()[:3] for _ in range(many + 1)] == ["502"] * many + ["221"]
    assert len(server.notes.rejections()) == many


def test_the_trusted_are_not_held(listen):
    """A relay host's errors are answered at once."""
    server = listen(tarpit=30.0, relay_hosts=["127.0.0.1"])
    with server.connect() as client:
        assert client.say("bogus").startswith("502 ")


def test_a_proxied_stranger_waits_for_the_banner(listen):
    """The pause is the client's own, also when its first bytes come with the header."""
    server = listen(greet_pause=30.0, proxies=(parse_network("127.0.0.1"),))
    with Client(server.address) as client:
        client.send(b"PROXY TCP4 192.0.2.7 203.0.113.10 56324 25\r\nEHLO x\r\n")
        assert client.rest().startswith(b"554 5.5.1 ")
    assert server.notes.records[0].peer_address.addr == "192.0.2.7"
