"""A real Postfix relays through us, and a real Postfix is the next hop."""

import contextlib
import json
import smtplib
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from postfix import Postfix, eventually, inject, message_id
from relay import Relay, client_of

from guard.mail.rfc3464 import parse

pytestmark = pytest.mark.root


@contextlib.contextmanager
def relay_to(folder: Path, hop: int, **more: str) -> Iterator[Relay]:
    """A running relay to this port."""
    relay = Relay(folder, hop, **more)
    relay.start()
    try:
        yield relay
    finally:
        relay.stop()


def types(relay: Relay) -> list[str]:
    """The types of the records that it wrote."""
    return [json.loads(line)["type"] for line in relay.records.read_text().splitlines()]


def test_through_us(tmp_path: Path):
    """From one Postfix to the other: each message once, with our Received header; SIZE, 8-bit."""
    with contextlib.ExitStack() as stack:
        hop = stack.enter_context(Postfix(virtual_mailbox_domains="y.test"))
        relay = stack.enter_context(relay_to(tmp_path, hop.port))
        client = stack.enter_context(client_of(relay))
        ids = inject(client.port, range(50))
        with smtplib.SMTP("127.0.0.1", client.port, timeout=30) as smtp:
            body = "Message-ID: <eight@x>\r\nSubject: ü\r\n\r\n.dots\r\n..\r\nö".encode()
            smtp.sendmail("a@client.test", ["user@y.test"], body, ["BODY=8BITMIME"])
        assert eventually(lambda: hop.count() == 51), relay.said() + client.said()
        found = hop.ids()
        assert found.keys() == ids | {"<eight@x>"}
        assert set(found.values()) == {1}
        (eight,) = [data for data in hop.stored() if message_id(data) == "<eight@x>"]
        assert eight.endswith("\n\n.dots\n..\nö\n".encode())
        assert b"by guard.test" in eight
        assert eventually(lambda: not relay.queued())
        records = types(relay)
        lines = [json.loads(line) for line in relay.records.read_text().splitlines()]
    assert sorted(records) == ["Delivery"] * 51 + ["Reception"] * 51
    assert {line["queue"] for line in lines} == {f"y.test![127.0.0.1]:{hop.port}"}
    assert len({(line["id"], line["size"]) for line in lines}) == 51, "both records, one size"


def test_refused_recipients_bounce(tmp_path: Path):
    """The next hop refuses one: the other gets it, and the sender a bounce, by the same way."""
    inline = "inline:{ {no@y.test=550 5.1.1 no such user} }"
    with contextlib.ExitStack() as stack:
        hop = stack.enter_context(
            Postfix(
                virtual_mailbox_domains="y.test, client.test",
                smtpd_recipient_restrictions=f"check_recipient_access {inline}",
            )
        )
        relay = stack.enter_context(relay_to(tmp_path, hop.port))
        client = stack.enter_context(client_of(relay))
        with smtplib.SMTP("127.0.0.1", client.port, timeout=30) as smtp:
            text = "Message-ID: <one@x>\r\nSubject: one\r\n\r\nhello\r\n"
            smtp.sendmail("a@client.test", ["yes@y.test", "no@y.test"], text)
        assert eventually(lambda: hop.count() == 2), relay.said() + hop.said()
        assert eventually(lambda: not relay.queued())
        reports = [report for data in hop.stored() if (report := parse(data)) is not None]
        records = types(relay)
    (report,) = reports
    (failed,) = report.per_recipient
    assert failed.final_recipient.recipient == "no@y.test"
    assert failed.diagnostic_code is not None
    assert (
        failed.diagnostic_code.diagnostic
        == "550 5.1.1 <no@y.test>: Recipient address rejected: no such user"
    )
    assert sorted(records) == ["Bounce", "Delivery", "Delivery", "Reception"]


def test_down_for_a_while_and_slow(tmp_path: Path):
    """The next hop is stopped and started again; every message arrives once."""
    with contextlib.ExitStack() as stack:
        hop = stack.enter_context(
            Postfix(virtual_mailbox_domains="y.test", smtpd_client_restrictions="sleep 1")
        )
        relay = stack.enter_context(relay_to(tmp_path, hop.port))
        client = stack.enter_context(client_of(relay))
        hop.stop()
        ids = inject(client.port, range(40))
        assert eventually(lambda: relay.queued() == 40), relay.said()
        # Delivery looks into the spool a moment after the messages are there.
        assert eventually(lambda: relay.ask("status")[0]["delivery"][0]["waiting"] == 40)
        assert relay.ask("status")[0]["delivery"][0]["delivered"] == 0
        assert eventually(lambda: "TransientFailure" in types(relay))
        hop.start()
        assert eventually(lambda: hop.count() == 40, 60), relay.said()
        assert eventually(lambda: not relay.queued())
        found = hop.ids()
    assert found.keys() == ids
    assert set(found.values()) == {1}


def test_international_headers(tmp_path: Path):
    """With SMTPUTF8 said, they wait for no server that lacks it; unsaid, they pass as ever."""
    with contextlib.ExitStack() as stack:
        hop = stack.enter_context(
            Postfix(virtual_mailbox_domains="y.test", smtpd_discard_ehlo_keywords="smtputf8")
        )
        relay = stack.enter_context(relay_to(tmp_path, hop.port))
        text = "Message-ID: <{}@x>\r\nSubject: ö\r\n\r\nx\r\n"
        for name, words in (("said", ["SMTPUTF8"]), ("unsaid", [])):
            with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as smtp:
                smtp.ehlo()
                smtp.sendmail("", ["user@y.test"], text.format(name).encode(), words)
        assert eventually(lambda: hop.count() == 1 and not relay.queued()), relay.said()
        assert list(hop.ids()) == ["<unsaid@x>"]
        lines = [json.loads(line) for line in relay.records.read_text().splitlines()]
    (bounce,) = [line for line in lines if line["type"] == "Bounce"]
    assert bounce["response"]["enhanced_code"] == {"class": 5, "subject": 6, "detail": 9}


def test_tls_and_utf8(tmp_path: Path):
    """TLS that is required and proven, for the address that a literal names; SMTPUTF8."""
    with contextlib.ExitStack() as stack:
        hop = stack.enter_context(
            Postfix(
                virtual_mailbox_domains="y.test",
                smtpd_tls_security_level="encrypt",
                smtpd_tls_chain_files="$config_directory/both.pem",
            )
        )
        more = f'tls = "required"\ntls_ca = "{hop.folder}/etc/both.pem"\n'
        relay = stack.enter_context(relay_to(tmp_path, hop.port, more=more))
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as smtp:
            text = "Message-ID: <one@x>\r\nSubject: grüße\r\n\r\nhello\r\n".encode()
            options = ["SMTPUTF8", "BODY=8BITMIME"]
            smtp.sendmail("ä@client.test", ["ü@y.test"], text, options)
        assert eventually(lambda: hop.count() == 1), relay.said() + hop.said()
        assert eventually(lambda: not relay.queued())
        lines = [json.loads(line) for line in relay.records.read_text().splitlines()]
        (stored,) = hop.stored()
    delivery = lines[-1]
    assert (delivery["type"], delivery["recipient"]) == ("Delivery", "ü@y.test")
    assert delivery["tls_protocol_version"].startswith("TLSv1.")
    assert "Subject: grüße".encode() in stored
    assert b"X-Original-To: \xc3\xbc@y.test" in stored


def test_a_next_hop_of_old(tmp_path: Path):
    """Without 8BITMIME and SMTPUTF8: what it cannot take bounces, and the bounces go through it."""
    with contextlib.ExitStack() as stack:
        hop = stack.enter_context(
            Postfix(
                virtual_mailbox_domains="y.test, client.test",
                smtpd_discard_ehlo_keywords="8bitmime, smtputf8",
                strict_7bit_headers="yes",
                strict_8bitmime_body="yes",
            )
        )
        relay = stack.enter_context(relay_to(tmp_path, hop.port))
        eight, header = "Subject: x\r\n\r\nö\r\n".encode(), "Subject: ö\r\n\r\nx\r\n".encode()
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as smtp:
            for to, text, words in (
                ("body@y.test", eight, ["BODY=8BITMIME"]),
                ("ü@y.test", b"Subject: x\r\n\r\nx\r\n", ["SMTPUTF8"]),
                ("header@y.test", header, ["SMTPUTF8", "BODY=8BITMIME"]),
            ):
                smtp.ehlo_or_helo_if_needed()
                smtp.sendmail("a@client.test", [to], text, words)
        assert eventually(lambda: hop.count() == 3), relay.said() + hop.said()
        assert eventually(lambda: not relay.queued())
        reports = [report for data in hop.stored() if (report := parse(data)) is not None]
    failed = {
        (
            one.final_recipient.recipient,
            f"{one.status.class_}.{one.status.subject}.{one.status.detail}",
        )
        for report in reports
        for one in report.per_recipient
    }
    assert failed == {("body@y.test", "5.6.3"), ("ü@y.test", "5.6.7"), ("header@y.test", "5.6.9")}


class Greylist(socketserver.StreamRequestHandler):
    """A policy server: the first attempt of each message is put off (Postfix's own protocol)."""

    seen: set[str]

    def handle(self) -> None:
        """Answers until Postfix hangs up."""
        attributes: dict[str, str] = {}
        for line in self.rfile:
            if line.strip():
                name, _, value = line.decode().strip().partition("=")
                attributes[name] = value
                continue
            key = attributes["recipient"]
            action = "DUNNO" if key in self.seen else "DEFER 4.7.1 greylisted"
            self.seen.add(key)
            self.wfile.write(f"action={action}\n\n".encode())


@pytest.fixture
def greylist() -> Iterator[int]:
    """The port of a greylist of this test."""
    handler = type("Handler", (Greylist,), {"seen": set()})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def test_greylisted(tmp_path: Path, greylist: int):
    """Put off at first, taken later."""
    with contextlib.ExitStack() as stack:
        hop = stack.enter_context(
            Postfix(
                virtual_mailbox_domains="y.test",
                smtpd_recipient_restrictions=f"check_policy_service inet:127.0.0.1:{greylist}",
            )
        )
        relay = stack.enter_context(relay_to(tmp_path, hop.port))
        for number in range(5):
            inject(relay.port, range(number, number + 1), recipient=f"user{number}@y.test")
        assert eventually(lambda: hop.count() == 5), relay.said() + hop.said()
        assert eventually(lambda: not relay.queued())
        records = types(relay)
    assert records.count("TransientFailure") == 5
    assert records.count("Delivery") == 5
