"""Bounces that we write are ones that anybody reads, we included."""

from email import message_from_bytes
from email.policy import default

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.mail.dsn import Bounce, Failure, bounce_id, is_bounce, write
from guard.mail.mime import parse_part
from guard.mail.replies import failure, response
from guard.mail.rfc3464 import Action, parse
from guard.records import Response


def bounce(*failures: Failure, head: bytes = b"From: a@b\r\nSubject: x") -> bytes:
    """A bounce about these."""
    made = Bounce(
        id="0199402b0d0a4d5c8f00112233445566",
        hostname="mx.example.com",
        sender="a@b.test",
        created=1757675000.25,
        now=1757675281.5,
        failures=failures,
        head=head,
    )
    return write(made)


REFUSED = Failure(
    "x@y.test", response(550, "5.1.1 no such user\n5.1.1 here"), "mx.y.test", expired=False
)


def test_a_bounce_is_a_report():
    """Read back by our own reader, field by field."""
    report = parse(bounce(REFUSED))
    assert report is not None
    assert report.per_message.reporting_mta.name == "mx.example.com"
    assert report.per_message.arrival_date == 1757675000
    (failed,) = report.per_recipient
    assert failed.final_recipient.recipient == "x@y.test"
    assert failed.action is Action.FAILED
    assert (failed.status.class_, failed.status.subject, failed.status.detail) == (5, 1, 1)
    assert failed.remote_mta is not None
    assert failed.remote_mta.name == "mx.y.test"
    assert failed.diagnostic_code is not None
    assert failed.diagnostic_code.diagnostic == "550 5.1.1 no such user here"
    assert failed.last_attempt_date == 1757675281
    assert report.original_message == b"From: a@b\nSubject: x\n\n"


def test_others_read_it_too():
    """Python's mail package finds no defect; the headers are those of a bounce."""
    message = message_from_bytes(bounce(REFUSED), policy=default)
    assert not message.defects
    assert message.get_content_type() == "multipart/report"
    assert message["To"] == "a@b.test"
    assert message["From"] == "Mail Delivery Subsystem <mailer-daemon@mx.example.com>"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["Message-ID"] == "<0199402b0d0a4d5c8f00112233445566@mx.example.com>"
    kinds = [part.get_content_type() for part in message.iter_parts()]
    assert kinds == ["text/plain", "message/delivery-status", "text/rfc822-headers"]
    text = next(message.iter_parts()).get_content()
    assert "<x@y.test>" in text
    assert "mx.y.test said: 550 5.1.1 no such user here" in text


def test_several_and_expired():
    """One block a recipient; what expired is 5.4.7 and says what the last reason was."""
    late = Failure("z@y.test", failure(451, (4, 4, 2), "timed out"), "", expired=True)
    data = bounce(REFUSED, late)
    report = parse(data)
    assert report is not None
    second = report.per_recipient[1]
    assert (second.status.class_, second.status.subject, second.status.detail) == (5, 4, 7)
    assert second.remote_mta is None
    assert b"tried for a long time" in data
    assert b"451 4.4.2 timed out" in data


def test_beyond_ascii():
    """RFC 6533: an address beyond ASCII makes it an international report, still sent as ASCII.

    A message that some server could not take for its 8 bits must not have a bounce with them.
    """
    odd = Failure("dörte@y.test", Response(550, None, "nö"), "", expired=False)
    data = bounce(odd, head="Subject: ö = =20 .\r\nX: ".encode() + b"y" * 300)
    assert data.isascii()
    *_, returned = parse_part(data).parts()
    assert returned.decoded().startswith("Subject: ö = =20 .\r\nX: ".encode() + b"y" * 300)
    assert b"message/global-delivery-status" in data
    assert b"message/global-headers" in data
    report = parse(data)
    assert report is not None
    (failed,) = report.per_recipient
    assert failed.final_recipient.recipient_type == "utf-8"
    assert failed.final_recipient.recipient == "dörte@y.test"
    assert (failed.status.class_, failed.status.subject, failed.status.detail) == (5, 0, 0)
    assert failed.diagnostic_code is not None
    assert failed.diagnostic_code.diagnostic == "550 n\\xf6"


def test_a_huge_head_is_cut_at_a_line():
    """Half a header is worse than none."""
    data = bounce(REFUSED, head=b"X: " + b"\r\n".join([b"y" * 70] * 10_000))
    assert len(data) < 40_000
    assert parse(data) is not None


def test_the_boundary_fits():
    """RFC 2046, 5.1.1: 70 characters at most, however long our name is."""
    made = Bounce(
        id="0" * 32,
        hostname="x" * 60 + ".example.com",
        sender="a@b.test",
        created=1.0,
        now=2.0,
        failures=(REFUSED,),
        head=b"X: y",
    )
    message = message_from_bytes(write(made), policy=default)
    assert len(message.get_boundary()) <= 70
    assert not message.defects


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ('multipart/report; report-type=delivery-status;\r\n\tboundary="b"', True),
        ("Multipart/Report; boundary=b; Report-Type=Delivery-Status", True),
        ("multipart/report; report-type=feedback-report; boundary=b", False),
        ("multipart/report; report-type=disposition-notification; boundary=b", False),
        ("multipart/mixed; boundary=b", False),
        ("text/plain", False),
    ],
)
def test_what_is_a_bounce(kind: str, expected: bool):
    """By its type, in any case of letters; complaints and read receipts are none."""
    assert is_bounce(f"Subject: x\r\nContent-Type: {kind}\r\nTo: x".encode()) is expected


def test_ids():
    """The same attempt has the same id; another attempt another one, of the same age."""
    first = bounce_id("0199402b0d0a" + "0" * 20, 0)
    assert first == bounce_id("0199402b0d0a" + "0" * 20, 0)
    assert first != bounce_id("0199402b0d0a" + "0" * 20, 1)
    assert first.startswith("0199402b0d0a")
    assert len(first) == 32
    int(first, 16)


@given(st.text(max_size=300), st.integers(400, 599), st.binary(max_size=300))
@settings(deadline=None)
def test_whatever_a_server_said_it_is_a_report(text: str, code: int, head: bytes):
    """A stranger's reply or header cannot break out of its part."""
    words = response(code, text)
    data = bounce(Failure("x@y.test", words, "mx", expired=False), head=head)
    report = parse(data)
    assert report is not None
    (failed,) = report.per_recipient
    assert failed.final_recipient.recipient == "x@y.test"
