"""What becomes of a message, by the verdict on its recipients and what it turns out to be."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_rfc3464 import sample

from guard.mail.reports import read_report
from guard.records import EnhancedCode, PeerAddress, Record, Response, encode
from guard.relay.reports import wanted
from guard.relay.verdict import Reports, Verdict

RECEPTION = Record(
    type="Reception",
    id="0199402b0d0a4d5c8f00112233445566",
    sender="",
    recipient="bounce+42@sender.example.com",
    queue="sender.example.com",
    size=1234,
    response=Response(250),
    peer_address=PeerAddress("mx1.example.net", "192.0.2.7"),
    timestamp=1757923500,
    event_time="2025-09-15T08:05:00.25Z",
    created=1757923500,
    created_time="2025-09-15T08:05:00.25Z",
    meta={"received_from": "192.0.2.7:40000"},
    reception_protocol="ESMTP",
    nodeid="n",
    tls_cipher="c",
    tls_protocol_version="v",
    session_id="s",
)
BOUNCE, COMPLAINT, ORDINARY = (
    sample("bounces/sendmail.eml"),
    sample("complaints/yahoo.eml"),
    sample("others/plain.eml"),
)
IGNORE, LOG, DROP, RELAY = (
    Reports.IGNORE,
    Reports.LOG,
    Reports.LOG_THEN_DROP,
    Reports.LOG_THEN_RELAY,
)
REFUSED: tuple[str, ...] = ("refused",)


# (relaying allowed, log_oob, log_arf, message) -> (queued, records) or REFUSED
TABLE = [
    (False, IGNORE, IGNORE, BOUNCE, REFUSED),
    (False, DROP, IGNORE, BOUNCE, (False, "Reception OOB")),
    (False, RELAY, IGNORE, BOUNCE, (True, "Reception OOB")),
    (False, LOG, IGNORE, BOUNCE, (False, "Reception OOB")),
    (False, IGNORE, RELAY, BOUNCE, REFUSED),
    (False, DROP, DROP, BOUNCE, (False, "Reception OOB")),
    (True, DROP, IGNORE, BOUNCE, (False, "Reception OOB")),
    (True, LOG, IGNORE, BOUNCE, (True, "Reception OOB")),
    (True, IGNORE, IGNORE, BOUNCE, (True, "Reception")),
    (False, IGNORE, DROP, COMPLAINT, (False, "Feedback")),
    (False, IGNORE, RELAY, COMPLAINT, (True, "Feedback")),
    (False, IGNORE, LOG, COMPLAINT, (False, "Feedback")),
    (False, RELAY, IGNORE, COMPLAINT, REFUSED),
    (True, IGNORE, DROP, COMPLAINT, (False, "Feedback")),
    (True, IGNORE, LOG, COMPLAINT, (True, "Feedback")),
    (True, RELAY, IGNORE, COMPLAINT, (True, "Reception")),
    (False, RELAY, RELAY, ORDINARY, REFUSED),
    (False, LOG, LOG, ORDINARY, REFUSED),
    (False, DROP, DROP, ORDINARY, REFUSED),
    (True, DROP, DROP, ORDINARY, (True, "Reception")),
]


@pytest.mark.parametrize(("relay", "oob", "arf", "message", "expected"), TABLE)
def test_the_table(relay: bool, oob: Reports, arf: Reports, message: bytes, expected):
    """KumoMTA's table, but that `true` relays a report only where relaying is allowed anyway."""
    verdict = Verdict(relay, oob, arf)
    report = read_report(message, RECEPTION, verdict)
    queued = wanted(verdict, report)
    if expected is REFUSED:
        assert (report, queued) == (None, False)
        return
    types = [] if report and report.replaces else ["Reception"]
    types += [record.type for record in report.records] if report else []
    assert (queued, " ".join(types)) == expected


def oob(name: str) -> list[Record]:
    """The OOB records that one of our samples leaves."""
    verdict = Verdict(relay=False, log_oob=DROP)
    report = read_report(sample(f"bounces/{name}.eml"), RECEPTION, verdict)
    assert report is not None
    assert (report.mode, report.replaces) == (DROP, False)
    return list(report.records)


def test_an_oob_record_in_full():
    """Sender is who gets the bounce, recipient who failed, the name is the reporter."""
    (record,) = oob("postfix")
    assert json.loads(encode(record)) == {
        "type": "OOB",
        "id": RECEPTION.id,
        "sender": "bounce+42@sender.example.com",
        "recipient": "nobody@example.net",
        "queue": "sender.example.com",
        "site": "",
        "size": 0,
        "response": {
            "code": 550,
            "enhanced_code": {"class": 5, "subject": 1, "detail": 1},
            "content": "5.1.1 <nobody@example.net> User doesn't exist: nobody@example.net",
            "command": None,
        },
        "peer_address": {"name": "mx1.example.net", "addr": "192.0.2.7"},
        "timestamp": 1757923500,
        "event_time": "2025-09-15T08:05:00.25Z",
        "created": 1757923500,
        "created_time": "2025-09-15T08:05:00.25Z",
        "num_attempts": 0,
        "bounce_classification": "Uncategorized",
        "egress_pool": None,
        "egress_source": None,
        "source_address": None,
        "feedback_report": None,
        "meta": {"received_from": "192.0.2.7:40000"},
        "headers": {},
        "delivery_protocol": None,
        "reception_protocol": "ESMTP",
        "nodeid": "n",
        "session_id": "s",
    }


@pytest.mark.parametrize(
    ("name", "code", "enhanced", "content", "recipient"),
    [
        ("exim", 550, (5, 0, 0), "No such recipient here", "gone@example.org"),
        ("ses", 552, (5, 2, 2), "5.2.2 mailbox full", "full@example.net"),
        # Not the word `smtp` letter for letter: KumoMTA does not look at it.
        ("sendmail", 550, (5, 1, 1), "", "student@example.edu"),
        ("mailbus", 550, (5, 0, 0), "", "some_user"),
        ("international", 550, (5, 1, 1), "host eai.example said: 550 no", "dörte@eai.example"),
    ],
)
def test_responses(
    name: str, code: int, enhanced: tuple[int, int, int], content: str, recipient: str
):
    """The reply comes out of a diagnostic of type smtp that begins with a number."""
    (record,) = oob(name)
    assert record.response == Response(code, EnhancedCode(*enhanced), content)
    assert record.recipient == recipient


def test_the_time_is_the_last_attempt():
    """Where the report says when it failed, that is when it failed."""
    (record,) = oob("sendmail")
    assert (record.timestamp, record.event_time) == (1757925371, "2025-09-15T08:36:11Z")
    assert record.created == RECEPTION.created


def test_only_failures_leave_records():
    """A delay is a report, accepted and logged as received, and nothing else."""
    assert oob("delayed") == []


def test_several_recipients_of_one_bounce():
    """The first stands for the sender; our transaction may have more than one."""
    reception = msgspec.structs.replace(RECEPTION, recipient=["a@x", "b@x"])
    report = read_report(BOUNCE, reception, Verdict(relay=False, log_oob=LOG))
    assert report is not None
    assert report.records[0].sender == "a@x"


def test_a_feedback_record_replaces_the_reception():
    """Everything of the Reception, with the report inside."""
    report = read_report(COMPLAINT, RECEPTION, Verdict(relay=False, log_arf=LOG))
    assert report is not None
    assert (report.mode, report.replaces) == (LOG, True)
    (record,) = report.records
    assert record.feedback_report is not None
    assert record.feedback_report["original_rcpto_to"] == ["complainer@yahoo.com"]
    assert msgspec.structs.replace(record, type="Reception", feedback_report=None) == RECEPTION


@given(
    st.binary(),
    st.booleans(),
    st.sampled_from(list(Reports)),
    st.sampled_from(list(Reports)),
)
@settings(deadline=None)
def test_no_stranger_relays_by_accident(message: bytes, relay: bool, oob: Reports, arf: Reports):
    """Whatever the bytes: queued is only what may be relayed, or what LogThenRelay asks for."""
    verdict = Verdict(relay, oob, arf)
    report = read_report(message, RECEPTION, verdict)
    if wanted(verdict, report) and not relay:
        assert RELAY in (oob, arf)
    for record in report.records if report else ():
        assert encode(record).isascii()
