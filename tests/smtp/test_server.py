"""guard/smtp over real sockets: what clients hear, what is recorded, what is stored."""

import socket
import threading

import pytest

from guard.lib.fields import Endpoint

HELO = "EHLO client.example.org"
EXPANSE = (
    "Expanse, a Palo Alto Networks company, searches across the global IPv4 space multiple times "
    "per day to identify customers&#39; presences on the Internet. If you would like to be "
    "excluded from our scans, please send IP addresses/domains to: scaninfo@paloaltonetworks.com"
)


def test_banner_and_greeting_are_ours(listen):
    """The banner names us; EHLO offers SIZE and nothing that is not there."""
    server = listen(max_message_size=1000)
    with server.connect() as client:
        assert client.say("EHLO Client.EXAMPLE.org").split("\n") == [
            "250-mx.example.com greets client.example.org",
            "250-PIPELINING",
            "250-SIZE 1000",
            "250-ENHANCEDSTATUSCODES",
            "250-8BITMIME",
            "250 SMTPUTF8",
        ]
        assert client.say("HELO [192.0.2.1]") == "250 Hello [192.0.2.1]!"
        assert client.say("NOOP") == "250 the goggles do nothing"
        assert client.say("QUIT") == "221 So long, and thanks for all the fish!"
        assert client.rest() == b""
    assert server.notes.records == []


def test_relay_not_permitted(listen):
    """A stranger's RCPT is refused with its own address, and the record says all of it."""
    server = listen()
    with server.connect() as client:
        host, port = client.socket.getsockname()
        client.say("EHLO WIN-CLJ1B0GQ6JP")
        answer = client.mail("mmiihhww09@gmail.com", "test@test.com")
        assert answer == f"550 5.7.1 relaying not permitted for {host}:{port}"
        assert client.say("DATA") == "503 5.5.0 RCPT TO must be issued first"
    record = server.notes.records[0]
    assert record.type == "Rejection"
    assert (record.sender, record.recipient) == ("test@test.com", "")
    assert record.response.code == 550
    enhanced = record.response.enhanced_code
    assert (enhanced.class_, enhanced.subject, enhanced.detail) == (5, 7, 1)
    assert record.response.content == f"relaying not permitted for {host}:{port}"
    assert record.response.command == "RCPT TO:<mmiihhww09@gmail.com>"
    assert (record.peer_address.name, record.peer_address.addr) == ("win-clj1b0gq6jp", host)
    assert record.timestamp == record.created == 1757675281
    assert record.event_time.startswith("2025-09-12T11:08:01.4405260")
    assert record.event_time == record.created_time
    assert record.kind == "relay_denied"
    assert server.notes.records[1].session_id == record.session_id


def test_ntlm(listen):
    """AUTH NTLM is refused by name; what follows of the exchange is recorded nowhere."""
    server = listen()
    with server.connect() as client:
        client.say("EHLO example.com")
        assert client.say("AUTH NTLM TlRMTVNTUAABAAAAB4IIogAA") == (
            "504 5.5.4 AUTH NTLM not supported"
        )
        assert client.say("AUTH NTLM") == "504 5.5.4 AUTH NTLM not supported"
        answer = client.say("TlRMTVNTUAADAAAAAQABAEAAAAA=")
        assert answer.startswith("501-Syntax error in command or arguments: ")
        assert "TlRM" not in answer
    assert (
        server.notes.rejections()[:2]
        == [(504, "AUTH NTLM not supported", "AUTH NTLM", "auth_unsupported")] * 2
    )
    assert server.notes.rejections()[2][2] == "AUTH"
    assert "TlRM" not in repr(server.notes.records)


@pytest.mark.parametrize("line", ["bogus", "VRFY root", "EXPN root", "HELP", "LHLO x.example"])
def test_unimplemented(listen, line):
    """Words that are no commands, and those that are not carried out."""
    server = listen()
    with server.connect() as client:
        assert client.say(line) == "502 5.5.1 Command unimplemented"
        assert client.say("NOOP").startswith("250 ")
    assert server.notes.rejections() == [
        (502, "Command unimplemented", line, "command_unimplemented")
    ]


def test_syntax_errors(listen):
    """Known commands with arguments they do not take, and lines that are nothing at all."""
    server = listen()
    with server.connect() as client:
        assert client.say("MAIL garbage") == "501 Syntax error in command or arguments"
        assert client.say("MAIL FROM:<a b@x>") == "501 5.1.7 Bad sender's mailbox address syntax"
        assert client.say("RCPT TO:<a@example.com:2025>") == (
            "501 5.1.3 Invalid recipient address syntax"
        )
        assert client.say("").startswith("501-Syntax error in command or arguments: ")
        client.send(b"EHLO \xff\xfe\r\n")
        assert client.reply() == "501 5.5.2 Invalid UTF-8 in command"
    assert [row[3] for row in server.notes.rejections()] == ["syntax_error"] * 5
    assert server.notes.rejections()[4][2] is None


def test_expanse_in_ehlo_and_over_http(listen):
    """The sentence of Palo Alto's scanner, as a greeting and as an HTTP user agent."""
    server = listen()
    with server.connect() as client:
        assert client.say(f"EHLO {EXPANSE}") == "554 5.7.1 no service for scanners: Expanse"
        assert client.rest() == b""
    with server.connect() as client:
        client.send(f"GET / HTTP/1.1\r\nHost: 192.0.2.1:25\r\nUser-Agent: {EXPANSE}\r\n\r\n")
        assert client.reply() == "554 5.7.1 no service for scanners: Expanse"
        assert client.rest() == b""
    assert [row[3] for row in server.notes.rejections()] == ["scanner"] * 2


def test_a_message_is_stored_and_recorded(listen):
    """What 250 is said to is in the spool, byte for byte below our header."""
    server = listen(relay_hosts=["127.0.0.1"])
    with server.connect() as client:
        client.say(HELO)
        assert client.say("MAIL FROM:<A@Example.ORG> SIZE=100 BODY=8BITMIME") == (
            "250 OK <A@example.org>"
        )
        assert client.say("RCPT TO:<b@münchen.de>") == "250 OK <b@xn--mnchen-3ya.de>"
        assert client.say("RCPT TO:<Postmaster>") == "250 OK <postmaster>"
        assert client.say("DATA") == "354 Send body; end with CRLF.CRLF"
        client.send("..first\r\nSubject: x\r\n\r\nd\xf6t\r\n..\r\nend\r\n.\r\n".encode())
        answer = client.reply()
        assert answer.startswith("250 OK ids=")
        host, port = client.socket.getsockname()
    [(envelope, message)] = server.mails()
    assert envelope["id"] == answer.removeprefix("250 OK ids=")
    assert envelope["sender"] == "A@example.org"
    assert envelope["recipients"] == ["b@xn--mnchen-3ya.de", "postmaster"]
    assert envelope["meta"]["received_from"] == f"{host}:{port}"
    header, body = message.split(b"+0000\r\n", 1)
    assert header.decode().startswith(
        f"Received: from client.example.org (127.0.0.1)\r\n  by mx.example.com (Guard 127.0.0.1)"
        f"\r\n  with ESMTP id {envelope['id']};\r\n  Fri, 12 Sep 2025 11:08:01 "
    )
    assert body == ".first\r\nSubject: x\r\n\r\nd\xf6t\r\n.\r\nend\r\n".encode()
    [record] = server.notes.records
    assert (record.type, record.id, record.size) == ("Reception", envelope["id"], len(message))
    assert record.recipient == ["b@xn--mnchen-3ya.de", "postmaster"]
    assert (record.response.code, record.reception_protocol) == (250, "ESMTP")


def test_an_empty_body_is_a_message(listen):
    """A dot as the first line ends the message; with KumoMTA the session would hang."""
    server = listen(relay_hosts=["127.0.0.1"])
    with server.connect() as client:
        client.mail("b@example.net")
        client.say("DATA")
        assert client.say(".").startswith("250 OK ids=")
        assert client.say("MAIL FROM:<>") == "250 OK <>"
    [(_, message)] = server.mails()
    assert message.endswith(b"+0000\r\n")
    assert b" for <b@example.net>;" in message


def test_the_transaction_ends_with_the_data(listen):
    """After any end of DATA, refused or not, the next MAIL begins anew and nothing is stored."""
    server = listen(relay_hosts=["127.0.0.1"], max_message_size=2000)
    bodies = {
        b"a\nb\r\n": "552 5.6.0 message data must use CRLF for line endings",
        b"a\rb\r\n": "552 5.6.0 message data must use CRLF for line endings",
        b"a" * 999 + b"\r\n": "500 5.2.3 line too long",
        (b"a" * 500 + b"\r\n") * 4: "552 5.3.4 message too big",
        b"a" * 1000 + b"\n" + (b"b" * 998 + b"\r\n"): "552 5.3.4 message too big",
        b"." + b"a" * 998 + b"\r\n": "250 OK",
    }
    with server.connect() as client:
        client.say(HELO)
        for body, answer in bodies.items():
            assert client.mail("b@example.net").startswith("250 ")
            client.say("DATA")
            client.send(body + b".\r\n")
            assert client.reply()[: len(answer)] == answer
    assert len(server.mails()) == 1
    assert not list(server.spool.tmp.iterdir())
    commands = {row[2] for row in server.notes.rejections()}
    assert commands == {"DATA"}


def test_a_long_line_does_not_end_the_session(listen):
    """998 bytes are a command line, 999 are too many, and ten million are nothing special."""
    server = listen()
    with server.connect() as client:
        assert client.say("a" * 998) == "502 5.5.1 Command unimplemented"
        for length in (999, 1000, 1001, 100_000, 10_000_005):
            assert client.say("a" * length) == "500 5.2.3 line too long"
        assert client.say("NOOP") == "250 the goggles do nothing"
    assert server.notes.rejections()[1] == (500, "line too long", None, "limit")


def test_size_is_honoured_at_mail(listen):
    """Who announces too much is told before sending it."""
    server = listen(max_message_size=1000)
    with server.connect() as client:
        assert client.say("MAIL FROM:<a@b.org> SIZE=1001") == "552 5.3.4 message too big"
        assert client.say("MAIL FROM:<a@b.org> SIZE=1000") == "250 OK <a@b.org>"


def test_pipelined_commands_are_answered_in_order(listen):
    """Everything in one packet, a message in the middle, gives the replies one by one."""
    server = listen(relay_hosts=["127.0.0.1"])
    with server.connect() as client:
        client.send(
            "EHLO a\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<b@b.c>\r\nDATA\r\nSubject: x\r\n\r\ny\r\n"
            ".\r\nMAIL FROM:<>\r\nRCPT TO:<b@b.c>\r\nRSET\r\nQUIT\r\n"
        )
        codes = [client.reply()[:3] for _ in range(9)]
        assert codes == ["250", "250", "250", "354", "250", "250", "250", "250", "221"]
        assert client.rest() == b""
    assert len(server.mails()) == 1


def test_a_client_that_hangs_up_after_its_message_is_still_answered(listen):
    """Sending everything and shutting down the sending side is how scripts do it."""
    server = listen(relay_hosts=["127.0.0.1"])
    with server.connect() as client:
        client.send("MAIL FROM:<a@b.c>\r\nRCPT TO:<b@b.c>\r\nDATA\r\n\r\nx\r\n.\r\n")
        client.socket.shutdown(socket.SHUT_WR)
        assert b"250 OK ids=" in client.rest()
    assert len(server.mails()) == 1


def test_idle_sessions_are_closed_without_a_record(listen):
    """A client that says nothing, and one that drips bytes, hear 421 and leave no rejection."""
    server = listen(client_timeout=0.3)
    with server.connect() as client:
        client.send("NO")
        assert client.reply() == "421 4.3.2 mx.example.com idle too long"
        assert client.rest() == b""
    with server.connect() as client:
        client.mail("x@y.z")
        assert client.reply() == "421 4.3.2 mx.example.com idle too long"
    assert [row[0] for row in server.notes.rejections()] == [550]


def test_too_many_sessions(listen):
    """Beyond max_connections a newcomer hears 421; when one leaves, there is room again."""
    server = listen(max_connections=2)
    with server.connect(), server.connect() as second:
        with socket.create_connection(server.address, 10) as third:
            assert third.makefile("rb").read() == (
                b"421 4.3.2 mx.example.com too many concurrent sessions. Try later\r\n"
            )
        second.say("QUIT")
        assert second.rest() == b""
        with server.connect() as fourth:
            assert fourth.say("NOOP").startswith("250 ")
    assert server.notes.records == []


def test_ipv6(listen):
    """An IPv6 peer is named in brackets in the reply, and bare in the record."""
    server = listen(listen=Endpoint("::1", 0))
    with server.connect() as client:
        port = client.socket.getsockname()[1]
        assert client.mail("x@y.z") == f"550 5.7.1 relaying not permitted for [::1]:{port}"
    assert server.notes.records[0].peer_address.addr == "::1"


def test_stop_lets_a_transaction_end(listen):
    """At the end of the listener the idle hear 421, the busy may finish, and mail is kept."""
    server = listen(relay_hosts=["127.0.0.1"])
    with server.connect() as idle, server.connect() as busy:
        busy.mail("b@example.net")
        busy.say("DATA")
        stopping = threading.Thread(target=server.stop, args=(10.0,))
        stopping.start()
        assert idle.reply() == "421 4.3.2 mx.example.com shutting down"
        assert idle.rest() == b""
        busy.send("Subject: x\r\n\r\nlate\r\n.\r\n")
        assert busy.reply().startswith("250 OK ids=")
        assert busy.reply() == "421 4.3.2 mx.example.com shutting down"
        stopping.join()
    assert len(server.mails()) == 1
    assert not list(server.spool.tmp.iterdir())


def test_stop_does_not_wait_for_ever(listen):
    """Whoever is not done when the grace is over is cut off, and nothing of it stays."""
    server = listen(relay_hosts=["127.0.0.1"])
    with server.connect() as busy:
        busy.mail("b@example.net")
        busy.say("DATA")
        server.stop(0.1)
        assert busy.rest() == b""
    assert server.mails() == []
    assert not list(server.spool.tmp.iterdir())
