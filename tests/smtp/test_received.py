"""guard/smtp/received.py: the header before a message."""

from email import message_from_bytes

from guard.lib.networks import parse_address
from guard.smtp.listener import Peer, Tls
from guard.smtp.received import received


def header(**more):
    """A header with some of its values changed."""
    values = {
        "name": "client.example.org",
        "peer": Peer(parse_address("2001:db8::7"), "2001:db8::7", 1, "[2001:db8::7]:1", "[::1]:25"),
        "hostname": "mx.example.com",
        "protocol": "ESMTP",
        "tls": None,
        "id_": "0" * 32,
        "recipients": ["b@example.net"],
    }
    return received(1757675281.4, **{**values, **more})


def test_the_form_is_kumomtas():
    """Name, both addresses, protocol, id, recipient and date, folded."""
    assert header() == (
        b"Received: from client.example.org (2001:db8::7)\r\n  by mx.example.com (Guard ::1)\r\n"
        b"  with ESMTP id 00000000000000000000000000000000 for <b@example.net>;\r\n"
        b"  Fri, 12 Sep 2025 11:08:01 +0000\r\n"
    )


def test_what_may_be_missing():
    """No EHLO name; several recipients are not told of each other; TLS is named."""
    told = header(name="", recipients=["a@b.c", "d@b.c"], tls=Tls("AES", "TLSv1.3"))
    assert b"from unspecified (" in told
    assert b" for <" not in told
    assert b"with ESMTP (TLSv1.3:AES) id " in told
    assert len(message_from_bytes(told + b"\r\n").get_all("Received")) == 1
