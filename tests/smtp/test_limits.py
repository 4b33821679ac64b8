"""guard/smtp/limits.py: who may take how much, counted and over real sockets."""

import dataclasses
import time
from contextlib import suppress

import pytest
from listening import Client

from guard.lib.networks import parse_address, parse_network
from guard.smtp.limits import LIMITS, Gate
from guard.smtp.settings import ListenerSettings

HERE, THERE = parse_address("192.0.2.1"), parse_address("192.0.2.2")


def settings(**more):
    """Listener settings with a host name."""
    return ListenerSettings(hostname="mx.example.com", **more)


def test_every_limit_is_a_setting():
    """The table names settings that exist, each with a default."""
    fields = {field.name for field in dataclasses.fields(ListenerSettings)}
    assert LIMITS.keys() <= fields


def test_connections_of_an_address():
    """At the limit the next one waits until one has left; others are not concerned."""
    gate, limits = Gate(), settings(max_connections_per_address=2)
    assert [gate.enter(HERE, 1, 0.0, limits) for _ in range(3)] == [
        None,
        None,
        "max_connections_per_address",
    ]
    assert gate.enter(THERE, 1, 0.0, limits) is None
    gate.leave(HERE)
    assert gate.enter(HERE, 1, 0.0, limits) is None
    for address in (HERE, HERE, THERE):
        gate.leave(address)
    assert not gate._open


def test_an_ipv6_network_is_one_client():
    """A /64 shares its limit."""
    gate, limits = Gate(), settings(max_connections_per_address=1)
    assert gate.enter(parse_address("2001:db8::1"), 1, 0.0, limits) is None
    assert gate.enter(parse_address("2001:db8::2"), 1, 0.0, limits) is not None
    assert gate.enter(parse_address("2001:db8:0:1::"), 1, 0.0, limits) is None


def test_new_sessions_in_a_minute():
    """More than so many are too many; after two quiet minutes all is forgotten."""
    gate, limits = Gate(), settings(max_sessions_per_minute=10)
    for second in range(10):
        assert gate.enter(HERE, 1, 1000.0 + second, limits) is None
        gate.leave(HERE)
    assert gate.enter(HERE, 1, 1010.0, limits) == "max_sessions_per_minute"
    assert gate.enter(THERE, 1, 1010.0, limits) is None
    assert gate.enter(HERE, 1, 1130.0, limits) is None


def test_a_minute_slides():
    """The turn of the counted minute does not give everybody a new allowance."""
    gate, limits = Gate(), settings(max_sessions_per_minute=10)
    gate.enter(THERE, 1, 0.0, limits)
    for _ in range(10):
        assert gate.enter(HERE, 1, 59.0, limits) is None
        gate.leave(HERE)
    assert gate.enter(HERE, 1, 61.0, limits) == "max_sessions_per_minute"


def test_a_tenth_is_kept_for_the_trusted():
    """Strangers stop short of max_connections."""
    gate, limits = Gate(), settings(max_connections=100)
    assert gate.enter(HERE, 90, 0.0, limits) is None
    assert gate.enter(HERE, 91, 0.0, limits) == "max_connections"


def test_memory_is_bounded():
    """A flood from everywhere is not remembered without end."""
    gate, limits = Gate(), settings()
    for number in range(250_000):
        address = parse_address("10.0.0.0")._replace(value=number)
        gate.enter(address, 1, 0.0, limits)
        gate.leave(address)
    assert len(gate._this) + len(gate._last) < 210_000


def test_load_is_shed_but_not_on_relay_hosts(listen):
    """With all places of strangers taken, relay_hosts are served; without a record."""
    server = listen(max_connections=10, relay_hosts=[])
    clients = [server.connect() for _ in range(9)]
    with Client(server.address) as stranger:
        assert stranger.rest().startswith(b"421 4.3.2 mx.example.com too many concurrent")
    server.server._trusted = lambda address: True
    with server.connect() as friend:
        assert friend.say("NOOP").startswith("250 ")
    for client in clients:
        client.close()
    assert server.notes.records == []
    assert server.server.counts["max_connections"] == 1


@pytest.mark.parametrize("tls", [False, True])
def test_sessions_of_an_address(listen, certificate, tls):
    """The one too many hears 421 and is a rejection; over implicit TLS it hears nothing."""
    more = {**certificate, "tls_implicit": True} if tls else {}
    server = listen(max_connections_per_address=1, **more)
    with Client(server.address) as first:
        if tls:
            first.secure()
        assert first.reply().startswith("220 ")
        with Client(server.address) as second:
            said = b"421 4.7.0 mx.example.com too many sessions from your address\r\n"
            assert second.rest() == (b"" if tls else said)
        assert first.say("NOOP").startswith("250 ")
    assert [(row[0], row[3]) for row in server.notes.rejections()] == [(421, "limit")]
    assert server.server.counts["max_connections_per_address"] == 1


LINES = {
    "max_errors": ("bogus", "502 5.5.1 Command unimplemented", "too many errors"),
    "max_failed_recipients": (
        "RCPT TO:<a@b.c>",
        "550 5.7.1 relaying not permitted",
        "too many refused recipients",
    ),
    "max_commands": ("NOOP", "250 the goggles do nothing", "too many commands"),
}


@pytest.mark.parametrize("name", LINES)
def test_a_session_that_goes_too_far(listen, name):
    """At the limit the session ends with 421 and one record of its own."""
    line, answer, last = LINES[name]
    server = listen(**{name: 3})
    with server.connect() as client:
        if name == "max_failed_recipients":
            client.say("MAIL FROM:<>")
        for _ in range(3):
            assert client.say(line).startswith(answer)
        if name == "max_commands":
            client.send("NOOP\r\n")
            assert client.reply() == answer
        assert client.reply() == f"421 4.7.0 mx.example.com {last}"
        assert client.rest() == b""
    code, content, command, kind = server.notes.rejections()[-1]
    assert (code, command, kind) == (421, None, "limit")
    assert content == f"mx.example.com {last}"
    assert server.server.counts[name] == 1


def test_what_is_too_big_is_counted(listen):
    """Sizes and numbers in a command or a message: kind `limit`, and a metric each."""
    server = listen(
        max_message_size=100, max_recipients_per_message=1, max_messages_per_connection=2,
        relay_hosts=["127.0.0.1"],
    )  # fmt: skip
    server.server._relay_hosts = type(server.server._relay_hosts)(())
    with server.connect() as client:
        assert client.say("MAIL FROM:<> SIZE=101") == "552 5.3.4 message too big"
        assert client.say("X" * 2000) == "500 5.2.3 line too long"
        assert client.mail("b@example.net").startswith("250 ")
        assert client.say("RCPT TO:<c@example.net>") == "452 4.5.3 too many recipients"
        client.say("DATA")
        assert client.say("x" * 200 + "\r\n.") == "552 5.3.4 message too big"
        assert client.mail("b@example.net").startswith("250 ")
        client.say("RSET")
        assert client.mail("b@example.net").startswith("421 4.5.3 ")
    met = {n: c for n, c in server.server.counts.items() if c and n != "connections"}
    assert met == {
        "max_message_size": 2,
        "line_length_hard_limit": 1,
        "max_recipients_per_message": 1,
        "max_messages_per_connection": 1,
    }
    assert {row[3] for row in server.notes.rejections()} == {"limit"}


def test_every_count_is_there_from_the_start(listen):
    """So that a metric is 0 before a limit is met, not absent."""
    counts = listen().server.counts
    assert LIMITS.keys() <= counts.keys()
    assert {"connections", "held", "blocked", "scanner", "non_smtp"} <= counts.keys()
    assert not any(counts.values())


def test_the_trusted_may_go_on(listen):
    """A relay host is not cut off for its recipients' sake."""
    server = listen(max_errors=2, max_commands=2, relay_hosts=["127.0.0.1"])
    with server.connect() as client:
        for _ in range(10):
            assert client.say("bogus").startswith("502 ")


def test_who_sends_mail_may_go_on(listen):
    """The commands of accepted messages do not add up."""
    server = listen(max_commands=6, relay_hosts=["127.0.0.1"])
    server.server._relay_hosts = type(server.server._relay_hosts)(())
    with server.connect() as client:
        for _ in range(5):
            assert client.mail("b@example.net").startswith("250 ")
            client.say("DATA")
            assert client.say("x\r\n.").startswith("250 OK ids=")


def test_a_session_has_an_end(listen):
    """However lively it is."""
    server = listen(session_timeout=0.4, max_commands=10**9)
    with server.connect() as client:
        deadline = time.monotonic() + 10
        while (said := client.say("NOOP")).startswith("250 "):
            assert time.monotonic() < deadline
        assert said == "421 4.3.2 mx.example.com session too long"
    assert server.notes.records == []


def test_a_dripping_line_is_cut_off(listen):
    """Bytes that never become a line buy no time."""
    server = listen(client_timeout=0.3)
    with server.connect() as client:
        client.socket.settimeout(0.05)
        deadline = time.monotonic() + 10
        while True:
            assert time.monotonic() < deadline
            try:
                client.send("x")
                said = client.socket.recv(100)
                break
            except TimeoutError:
                continue
        assert said == b"421 4.3.2 mx.example.com idle too long\r\n"


def test_who_takes_no_replies_is_cut_off(listen):
    """A client that only talks holds a connection no longer than one that is silent."""
    server = listen(client_timeout=0.3, max_commands=10**9)
    with server.connect() as client:
        client.socket.setblocking(False)
        deadline = time.monotonic() + 20
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            while True:
                assert time.monotonic() < deadline
                try:
                    client.socket.send(b"NOOP\r\n" * 10_000)
                except BlockingIOError:
                    time.sleep(0.01)
    assert server.notes.records == []


def test_a_slow_body_is_taken_and_a_drip_is_not(listen):
    """Above min_data_rate a message may take longer than client_timeout; below, it may not."""
    server = listen(client_timeout=0.4, min_data_rate=1000, relay_hosts=["127.0.0.1"])
    with server.connect() as client:
        client.mail("b@example.net")
        client.say("DATA")
        began = time.monotonic()
        client.socket.settimeout(0.1)
        while time.monotonic() < began + 1.0:
            client.send("x" * 498 + "\r\n")
            with pytest.raises(TimeoutError):
                client.socket.recv(1)
        client.socket.settimeout(10)
        client.send(".\r\n")
        assert client.socket.recv(4) == b"250 "
    with server.connect() as client:
        client.mail("b@example.net")
        client.say("DATA")
        client.socket.settimeout(0.05)
        deadline = time.monotonic() + 10
        while True:
            assert time.monotonic() < deadline
            try:
                client.send("x")
                assert client.socket.recv(4) == b"421 "
                break
            except TimeoutError:
                continue


@pytest.mark.parametrize("how", ["refuse", "drop"])
def test_blocked_addresses_are_turned_away(listen, how):
    """Who is blocked and still gets here hears 554 or nothing; that is no further rejection."""
    server = listen(blocked=how)
    server.server._blocked = {HERE, parse_address("127.0.0.1")}.__contains__
    with Client(server.address) as client, suppress(ConnectionResetError):
        said = b"554 5.7.1 mx.example.com does not talk to your address\r\n"
        assert client.rest() == (said if how == "refuse" else b"")
    server.server._blocked = {HERE}.__contains__
    with server.connect() as client:
        assert client.say("NOOP").startswith("250 ")
    assert server.notes.records == []
    assert server.server.counts["blocked"] == 1


def test_blocked_behind_a_proxy(listen):
    """It is the client's address that counts, not the proxy's."""
    server = listen(proxies=(parse_network("127.0.0.1"),))
    server.server._blocked = {HERE}.__contains__
    for address, code in (("192.0.2.1", b"554 "), ("192.0.2.2", b"220 ")):
        with Client(server.address) as client:
            client.send(f"PROXY TCP4 {address} 203.0.113.10 56324 25\r\n")
            assert client.file.read(4) == code
