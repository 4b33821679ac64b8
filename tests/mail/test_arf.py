"""Complaints as feedback loops send them."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_rfc3464 import LINE_ENDS, SAMPLES, sample

from guard.mail.arf import Report, as_json, parse
from guard.mail.reportfields import Mta


def complaint(feedback: bytes, original: bytes = b"", kind: bytes = b"multipart/report") -> bytes:
    """A complaint with this feedback part about this message."""
    return (
        b"Content-Type: " + kind + b"; report-type=feedback-report; boundary=b\n\n"
        b"--b\nContent-Type: message/feedback-report\n\n"
        + feedback
        + b"\n--b\nContent-Type: message/rfc822\n\n"
        + original
        + b"\n--b--\n"
    )


GOOD = b"Feedback-Type: abuse\nUser-Agent: x/1\nVersion: 1\n"


def read(data: bytes) -> Report:
    """`data`, which is a complaint."""
    report = parse(data)
    assert report is not None
    return report


@LINE_ENDS
def test_yahoo(crlf: bool):
    """Received-Date stands in for Arrival-Date; the version is text; a bare address will do."""
    found = as_json(read(sample("complaints/yahoo.eml", crlf=crlf)))
    assert found == {
        "feedback_type": "abuse",
        "user_agent": "Yahoo!-Mail-Feedback/2.0",
        "version": "0.1",
        "arrival_date": "2023-12-14T16:16:15Z",
        "incidents": None,
        "original_envelope_id": None,
        "original_mail_from": "bounces@sender.example.com",
        "reporting_mta": None,
        "source_ip": None,
        "authentication_results": ["authentication result string is not available"],
        "original_rcpto_to": ["complainer@yahoo.com"],
        "reported_domain": ["sender.example.com"],
        "reported_uri": [],
        "extensions": {},
        "original_message": "From: list@sender.example.com\nSubject: Hello\n\nHello.\n",
        "supplemental_trace": None,
    }


@LINE_ENDS
def test_comcast(crlf: bool):
    """Source-Ip is whatever it says; unknown fields are extensions; field names have any case."""
    report = read(sample("complaints/comcast.eml", crlf=crlf))
    assert report.source_ip == "x.x.x.x"
    assert report.incidents == 3
    assert report.reporting_mta == Mta("dns", "fbl.comcast.net")
    assert as_json(report)["extensions"] == {
        "abuse-type": ["complaint"],
        "source": ["Comcast"],
        "subscription-link": ["https://fbl.returnpath.net/manage/subscriptions/1"],
    }
    assert as_json(report)["arrival_date"] == "2025-09-15T08:39:58Z"


@LINE_ENDS
def test_microsoft_jmrp(crlf: bool):
    """Folded results are one line; what the sender hid in a folded X- header is found."""
    report = read(sample("complaints/jmrp.eml", crlf=crlf))
    assert report.original_rcpto_to == ("someone@hotmail.com",)
    assert report.authentication_results == (
        "hotmail.com; spf=pass (sender IP is 198.51.100.7) "
        "smtp.mailfrom=bounces@sender.example.com; dkim=pass header.d=sender.example.com",
    )
    assert report.supplemental_trace == {"recipient": "someone@hotmail.com", "campaign": 7}


def test_what_is_not_a_complaint():
    """Bounces, receipts and ordinary mail are not."""
    for folder in ("bounces", "others"):
        for path in (SAMPLES / folder).iterdir():
            assert parse(path.read_bytes()) is None, path.name


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Feedback-Type: abuse\n", b""),
        (b"User-Agent: x/1\n", b""),
        (b"Version: 1\n", b""),
        (b"Version: 1\n", b"Version: 1\nVersion: 1\n"),
        (b"Version: 1", b"Version: \xff"),
        (b"Version: 1", b"Version: 1\nIncidents: many"),
        (b"Version: 1", b"Version: 1\nIncidents: -1"),
        (b"Version: 1", b"Version: 1\nIncidents: 4294967296"),
        (b"Version: 1", b"Version: 1\nOriginal-Mail-From: not an address"),
        (b"Version: 1", b"Version: 1\nOriginal-Rcpt-To: a@b\nOriginal-Rcpt-To: c d"),
        (b"Version: 1", b"Version: 1\nReporting-MTA: nothing"),
        (b"Version: 1", b"Version: 1\nno field"),
    ],
)
def test_one_wrong_field_and_it_is_no_complaint(old: bytes, new: bytes):
    """All or nothing, as KumoMTA."""
    assert old in GOOD
    assert parse(complaint(GOOD)) is not None
    assert parse(complaint(GOOD.replace(old, new))) is None


@pytest.mark.parametrize(
    "dates",
    [
        b"Arrival-Date: Thu, 8 Mar 2005 14:00:00 EDT\n",
        b"Arrival-Date: yesterday\nReceived-Date: 1 Jan 2025 00:00:00 +0000\n",
        b"Arrival-Date: 1 Jan 2025 00:00:00 Z\nArrival-Date: 1 Jan 2025 00:00:00 Z\n",
        b"Received-Date: \xff\n",
    ],
)
def test_a_wrong_date_is_no_date(dates: bytes):
    """It fails nothing, and the other date does not stand in for a wrong one."""
    report = read(complaint(GOOD + dates))
    assert report.arrival_date is None


@pytest.mark.parametrize(
    "message",
    [
        complaint(GOOD, kind=b"Multipart/Report"),
        complaint(GOOD).replace(b"=feedback-report", b"=Feedback-Report"),
        complaint(GOOD).replace(b"message/feedback-report", b"message/Feedback-Report"),
        complaint(b""),
        b"",
    ],
)
def test_types_are_compared_as_kumomta_does(message: bytes):
    """Letter for letter."""
    assert parse(message) is None


def test_what_is_not_utf8_becomes_numbers():
    """KumoMTA writes such values as arrays of bytes."""
    found = as_json(read(complaint(GOOD + b"X-Odd: \xff\n", b"\xfe\n")))
    assert found["extensions"] == {"x-odd": [[255]]}
    assert found["original_message"] == [254, 10, 10]


@pytest.mark.parametrize(
    "value",
    [
        b"not base64 at all",
        b"e30=",  # {}
        b"eyJfQF8iOiJ4In0=",  # the wrong mark
        b"W10=",  # []
        b"eyJfQF8iOiJcXF8vIiwieCI6Ilx1ZDgwMCJ9",  # half a character
        b"A" * 100_000,
    ],
)
def test_other_x_headers_are_no_trace(value: bytes):
    """Only what carries the mark is ours."""
    report = read(complaint(GOOD, b"X-Thing: " + value + b"\n\nbody"))
    assert report.supplemental_trace is None


@given(st.binary())
@settings(deadline=None)
def test_any_bytes_are_a_complaint_or_not(data: bytes):
    """Nothing is raised; what is read can be written as JSON."""
    assert parse(data) is None
    parse(complaint(data))
    report = read(complaint(GOOD, data))
    json.dumps(as_json(report)).encode("ascii")


FIELDS = st.sampled_from(
    [
        "Feedback-Type: abuse",
        "User-Agent: x",
        "Version: 1",
        "Incidents: 5",
        "Source-IP: y",
        "",
        "Original-Mail-From: <>",
        "Reported-URI: =?utf-7?q?+2AA-?=",
        "Arrival-Date: x",
        " folded",
        "X-�: 1",
        "X-Y: �",
        "--b",
        "--b--",
        "Content-Type: message/rfc822",
    ]
)


@given(st.lists(FIELDS, max_size=20))
@settings(max_examples=300, deadline=None)
def test_any_fields_are_a_complaint_or_not(lines: list[str]):
    """A whole complaint or None, and always writable."""
    data = "\n".join(lines).encode("utf-8", "surrogateescape")
    report = parse(complaint(data))
    if report is not None:
        json.dumps(as_json(report), ensure_ascii=False).encode()


def test_kumomtas_samples(shared: Path):
    """The samples of its tree give what its tests expect."""
    folder = shared / "kumomta" / "rfc5965"
    one = read((folder / "1.eml").read_bytes())
    assert (one.feedback_type, one.user_agent, one.version) == ("abuse", "SomeGenerator/1.0", "1")
    assert one.original_message is not None
    assert one.original_message.endswith(b"Spam Spam Spam\n")
    two = read((folder / "2.eml").read_bytes())
    assert two.arrival_date is None
    assert two.original_mail_from == "somespammer@example.net"
    assert two.authentication_results == (
        "mail.example.com; spf=fail smtp.mail=somespammer@example.com",
    )
    assert two.reported_uri == ("http://example.net/earn_money.html", "mailto:user@example.com")
    assert two.extensions == {"removal-recipient": ("user@example.com",)}
    assert two.supplemental_trace == {"recipient": "test@example.com"}
