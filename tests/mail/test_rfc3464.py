"""Bounces as the world's mail servers write them, and what only looks like one."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.lib.timestamps import rfc3339
from guard.mail.reportfields import Mta
from guard.mail.rfc3464 import Action, Diagnostic, Recipient, Report, Status, parse

SAMPLES = Path(__file__).parent / "samples"
LINE_ENDS = pytest.mark.parametrize("crlf", [False, True], ids=["lf", "crlf"])


def sample(name: str, *, crlf: bool = False) -> bytes:
    """One of our samples, with either line end."""
    data = (SAMPLES / name).read_bytes()
    return data.replace(b"\n", b"\r\n") if crlf else data


def bounce(status: bytes, kind: bytes = b"multipart/report") -> bytes:
    """A bounce whose status part is `status`."""
    return (
        b"Content-Type: " + kind + b"; report-type=delivery-status; boundary=b\n\n"
        b"--b\nContent-Type: message/delivery-status\n\n" + status + b"\n--b--\n"
    )


GOOD = (
    b"Reporting-MTA: dns; mx.example.net\n\n"
    b"Final-Recipient: rfc822; a@example.net\nAction: failed\nStatus: 5.1.1\n"
)
MTA = Mta("dns", "mx.example.net")


@LINE_ENDS
@pytest.mark.parametrize(
    ("name", "mta", "recipient", "status", "diagnostic"),
    [
        (
            "postfix",
            "mx1.example.net",
            "nobody@example.net",
            (5, 1, 1),
            "550 5.1.1 <nobody@example.net> User doesn't exist: nobody@example.net",
        ),
        (
            "exim",
            "mail.example.org",
            "gone@example.org",
            (5, 0, 0),
            "550 No such recipient here",
        ),
        (
            "sendmail",
            "relay.example.edu",
            "student@example.edu",
            (5, 1, 1),
            "550 5.1.1 <student@example.edu>... User unknown",
        ),
        (
            "exchange",
            "AM0PR00MB0001.corp.example",
            "jane.doe@corp.example",
            (5, 1, 10),
            "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient jane.doe@corp.example not found "
            "by SMTP address lookup",
        ),
        (
            "gmail",
            "googlemail.com",
            "nosuchuser@gmail.com",
            (5, 1, 1),
            "550-5.1.1 The email account that you tried to reach does not exist. Please try "
            "550-5.1.1 double-checking the recipient's email address for typos or "
            "550 5.1.1 unnecessary spaces.",
        ),
        (
            "ses",
            "a7-1.smtp-out.eu-west-1.amazonses.com",
            "full@example.net",
            (5, 2, 2),
            "552 5.2.2 mailbox full",
        ),
        (
            "international",
            "eai.example",
            "dörte@eai.example",
            (5, 1, 1),
            "host eai.example said: 550 no",
        ),
    ],
)
def test_bounces_of_the_world(
    name: str, mta: str, recipient: str, status: tuple[int, int, int], diagnostic: str, crlf: bool
):
    """Each server's own shape gives the same fields, with either line end."""
    report = parse(sample(f"bounces/{name}.eml", crlf=crlf))
    assert report is not None
    assert report.per_message.reporting_mta == Mta("dns", mta)
    (failed,) = report.per_recipient
    assert failed.final_recipient.recipient == recipient
    assert failed.action is Action.FAILED
    assert (failed.status.class_, failed.status.subject, failed.status.detail) == status
    assert failed.diagnostic_code is not None
    assert failed.diagnostic_code.diagnostic == diagnostic


@LINE_ENDS
def test_everything_that_postfix_says(crlf: bool):
    """Dates, extensions, original recipient and the returned message."""
    report = parse(sample("bounces/postfix.eml", crlf=crlf))
    assert report is not None
    assert report.per_message.arrival_date is not None
    assert rfc3339(report.per_message.arrival_date) == "2025-09-15T08:04:10Z"
    assert report.per_message.extensions == {
        "x-postfix-queue-id": ("1C04F2A3",),
        "x-postfix-sender": ("rfc822; bounce+42@sender.example.com",),
    }
    (failed,) = report.per_recipient
    assert failed.original_recipient == Recipient("rfc822", "nobody@example.net")
    assert failed.remote_mta == Mta("dns", "mailstore.example.net")
    assert report.original_message is not None
    assert report.original_message.startswith(b"Return-Path: <bounce+42@sender.example.com>\nFrom:")
    assert report.original_message.endswith(b"\n\nThank you.\n\n")


def test_types_are_kept_as_written():
    """Sendmail's `RFC822` and `SMTP` are the reporter's own words."""
    report = parse(sample("bounces/sendmail.eml"))
    assert report is not None
    assert report.per_message.received_from_mta == Mta("DNS", "mail.sender.example.com")
    (failed,) = report.per_recipient
    assert failed.final_recipient == Recipient("RFC822", "student@example.edu")
    assert failed.diagnostic_code is not None
    assert failed.diagnostic_code.diagnostic_type == "SMTP"
    assert failed.last_attempt_date is not None
    assert report.original_message == (
        b"Return-Path: <bounces@sender.example.com>\nFrom: <list@sender.example.com>\n"
        b"Subject: Reminder\n\n"
    )


def test_brackets_comments_and_foreign_types():
    """Brackets go for rfc822 only; a status may have a comment; any MTA type will do."""
    ses = parse(sample("bounces/ses.eml"))
    assert ses is not None
    assert ses.per_recipient[0].original_recipient == Recipient("rfc822", "full@example.net")
    mailbus = parse(sample("bounces/mailbus.eml"))
    assert mailbus is not None
    assert mailbus.per_message.reporting_mta == Mta("mailbus", "SYS30")
    (failed,) = mailbus.per_recipient
    assert failed.final_recipient == Recipient("unknown", "some_user")
    assert failed.status == Status(5, 0, 0, "(unknown permanent failure)")
    assert failed.diagnostic_code is None


def test_an_encoded_header_part_is_decoded():
    """message/global-headers may be quoted-printable; RFC 2047 words in fields are read."""
    report = parse(sample("bounces/international.eml"))
    assert report is not None
    assert report.original_message == "Subject: ä\n\n".encode()
    exchange = parse(sample("bounces/exchange.eml"))
    assert exchange is not None
    assert exchange.per_recipient[0].extensions == {"x-display-name": ("Jane Dö",)}


def test_a_delay_is_a_report():
    """It only leaves no OOB record."""
    report = parse(sample("bounces/delayed.eml"))
    assert report is not None
    (delayed,) = report.per_recipient
    assert delayed.action is Action.DELAYED
    assert delayed.will_retry_until is not None
    assert rfc3339(delayed.will_retry_until) == "2025-09-20T08:40:00Z"


@pytest.mark.parametrize("name", ["qmail", "read_receipt", "forwarded_report", "plain"])
@LINE_ENDS
def test_what_is_not_a_bounce(name: str, crlf: bool):
    """Text bounces, read receipts, and a report inside another message are ordinary mail."""
    assert parse(sample(f"others/{name}.eml", crlf=crlf)) is None


def test_a_complaint_is_not_a_bounce():
    """Both are multipart/report."""
    for path in (SAMPLES / "complaints").iterdir():
        assert parse(path.read_bytes()) is None


def test_the_least_bounce():
    """Reporting-MTA, Final-Recipient, Action, Status are all it takes; none is for anybody."""
    report = parse(bounce(GOOD))
    assert report is not None
    (failed,) = report.per_recipient
    assert (failed.final_recipient, failed.status) == (
        Recipient("rfc822", "a@example.net"),
        Status(5, 1, 1, None),
    )
    assert parse(bounce(b"Reporting-MTA: dns; x\n")) == Report(
        parse(bounce(b"Reporting-MTA: dns; x\n")).per_message, (), None
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Reporting-MTA: dns; mx.example.net\n", b"X-Other: 1\n"),
        (b"Reporting-MTA: dns; mx.example.net", b"Reporting-MTA: mx.example.net"),
        (b"Action: failed\n", b""),
        (b"Action: failed", b"Action: Failed"),
        (b"Action: failed", b"Action: exploded"),
        (b"Action: failed\n", b"Action: failed\nAction: failed\n"),
        (b"Status: 5.1.1", b"Status: 5.1"),
        (b"Status: 5.1.1", b"Status: bad"),
        (b"Status: 5.1.1", b"Status: 5.1.1.1"),
        (b"Status: 5.1.1", b"Status: 5.1.99999999999999999999"),
        (b"rfc822; a@example.net", b"rfc822; two words"),
        (b"rfc822; a@example.net", b"a@example.net"),
        (b"Status: 5.1.1", b"Status: 5.1.1\nLast-Attempt-Date: yesterday"),
        (b"Status: 5.1.1", b"Status: 5.1.1\nDiagnostic-Code: none"),
        (b"Status: 5.1.1", b"Status: 5.1.1\nRemote-MTA: \xff; x"),
        (b"Status: 5.1.1", b"Status: 5.1.1\nnot a field"),
    ],
)
def test_one_wrong_field_and_it_is_no_report(old: bytes, new: bytes):
    """Half a report would be believed; KumoMTA takes all or nothing."""
    assert old in GOOD
    assert parse(bounce(GOOD)) is not None
    assert parse(bounce(GOOD.replace(old, new))) is None


@pytest.mark.parametrize(
    "message",
    [
        bounce(GOOD, b"Multipart/Report"),
        bounce(GOOD, b"multipart/mixed"),
        bounce(GOOD).replace(b"message/delivery-status", b"Message/Delivery-Status"),
        bounce(b""),
        bounce(b" \n\n \n"),
        b"Content-Type: multipart/report; boundary=b\n\n--b\n\ntext\n--b--\n",
        b"Content-Type: multipart/report\n\n",
        b"",
    ],
)
def test_types_are_compared_as_kumomta_does(message: bytes):
    """Letter for letter; no status part is no report."""
    assert parse(message) is None


def test_a_cut_off_report_is_read_as_far_as_it_goes():
    """Of a huge message only the beginning is looked at."""
    data = sample("bounces/postfix.eml")
    at = data.index(b"Thank you")
    report = parse(data[:at])
    assert report is not None
    assert report.per_recipient[0].status == Status(5, 1, 1, None)


def test_too_many_recipients():
    """No report tells of more than ten thousand."""
    block = b"\nFinal-Recipient: rfc822; a@example.net\nAction: failed\nStatus: 5.1.1\n"
    assert parse(bounce(b"Reporting-MTA: dns; x\n" + block * 10_001)) is None


@given(st.binary())
@settings(deadline=None)
def test_any_bytes_are_a_report_or_not(data: bytes):
    """Nothing is raised for any bytes, alone or inside a report's frame."""
    assert parse(data) is None
    parse(bounce(data))


WORDS = st.sampled_from(
    [
        "Reporting-MTA: dns; x",
        "Final-Recipient: rfc822;a@b",
        "Action: failed",
        "Status: 5.0.0",
        "",
        "Diagnostic-Code: smtp; 550 x",
        "Arrival-Date: 1 Jan 2025 00:00:00 +0000",
        " folded",
        "x",
        "Action: delayed",
        "Original-Recipient: rfc822;<>",
        "--b",
        "--b--",
        "�: =?q?b?x?=",
    ]
)


@given(st.lists(WORDS, max_size=20))
@settings(max_examples=300, deadline=None)
def test_any_fields_are_a_report_or_not(lines: list[str]):
    """Whatever order and number of fields, the answer is a whole report or None."""
    report = parse(bounce("\n".join(lines).encode("utf-8", "surrogateescape")))
    if report is not None:
        assert all(r.action in Action and r.status for r in report.per_recipient)


def read(path: Path) -> Report:
    """KumoMTA's own sample."""
    report = parse(path.read_bytes())
    assert report is not None
    return report


def test_kumomtas_samples(shared: Path):
    """The samples of its tree give what its tests expect."""
    folder = shared / "kumomta" / "rfc3464"
    (one,) = read(folder / "1.eml").per_recipient
    assert one.diagnostic_code == Diagnostic("smtp", "426 connection timed out")
    assert one.last_attempt_date is not None
    assert rfc3339(one.last_attempt_date) == "1994-07-07T21:15:49Z"
    two = read(folder / "2.eml").per_recipient
    assert [r.action for r in two] == [Action.FAILED, Action.DELAYED, Action.FAILED]
    assert two[0].status == Status(5, 0, 0, "(permanent failure)")
    assert two[0].diagnostic_code == Diagnostic(
        "smtp", "550 'arathib@vnet.IBM.COM' is not a registered gateway user"
    )
    five = read(folder / "5.eml")
    assert five.per_message.arrival_date is not None
    assert rfc3339(five.per_message.arrival_date) == "2025-01-29T16:36:51Z"
    assert five.per_recipient[0].final_recipient == Recipient("rfc822", "recipient@domain.com")
    ses = read(folder / "obsolete_arrival_date.eml")
    assert ses.per_message.arrival_date is not None
    assert rfc3339(ses.per_message.arrival_date) == "2026-07-02T18:55:38Z"
    assert ses.original_message is None
