"""Records of delivery, member by member, as KumoMTA's readers want them."""

import json
import uuid

import pytest

from guard.mail.client import Tls
from guard.mail.deliveryrecords import Outcome, kind, record
from guard.mail.replies import failure, response
from guard.mail.resolver import Host
from guard.mail.spool import Envelope
from guard.mail.waiting import Message, State
from guard.records import encode

ID = "0199402b0d0a4d5c8f00112233445566"
MESSAGE = Message(
    Envelope(ID, "a@b.test", ["x@y.test"], {"reception_protocol": "ESMTPS"}, 1757675000.25),
    State(attempts=2),
    100,
    1234,
)
HOST = Host("mx.y.test", "192.0.2.1", 25)


def written(type_: str, outcome: Outcome) -> dict:
    """The record as it stands in the log."""
    made = record(
        type_,
        MESSAGE,
        "x@y.test",
        outcome,
        queue="y.test",
        site="y.test:25",
        now=1757675281.5,
        nodeid="dd2b41fd-78f0-4105-8cd9-01ac7114cada",
    )
    return json.loads(encode(made))


@pytest.mark.parametrize(
    ("code", "expected"),
    [(250, "Delivery"), (450, "TransientFailure"), (421, "TransientFailure"), (550, "Bounce")],
)
def test_types(code: int, expected: str):
    """By the first digit of the reply."""
    assert kind(Outcome(response(code, "x"))) == expected


def test_a_delivery_in_full():
    """Every member, in KumoMTA's order; TLS where there was TLS."""
    taken = response(250, "2.0.0 ok", ".")
    session = str(uuid.uuid4())
    found = written("Delivery", Outcome(taken, HOST, Tls("AES", "TLSv1.3"), session))
    assert found == {
        "type": "Delivery",
        "id": ID,
        "sender": "a@b.test",
        "recipient": "x@y.test",
        "queue": "y.test",
        "site": "y.test:25",
        "size": 1234,
        "response": {
            "code": 250,
            "enhanced_code": {"class": 2, "subject": 0, "detail": 0},
            "content": "ok",
            "command": ".",
        },
        "peer_address": {"name": "mx.y.test", "addr": "192.0.2.1"},
        "timestamp": 1757675281,
        "event_time": "2025-09-12T11:08:01.500000Z",
        "created": 1757675000,
        "created_time": "2025-09-12T11:03:20.250000Z",
        "num_attempts": 2,
        "bounce_classification": "Uncategorized",
        "egress_pool": None,
        "egress_source": None,
        "source_address": None,
        "feedback_report": None,
        "meta": {},
        "headers": {},
        "delivery_protocol": "ESMTP",
        "reception_protocol": "ESMTPS",
        "nodeid": "dd2b41fd-78f0-4105-8cd9-01ac7114cada",
        "tls_cipher": "AES",
        "tls_protocol_version": "TLSv1.3",
        "session_id": session,
    }
    order = ["type", "id", "sender", "recipient", "queue", "site", "size", "response"]
    assert list(found)[:8] == order


def test_without_a_conversation():
    """No peer, no protocol, no TLS; the session is still a UUID, because readers parse it."""
    found = written("Bounce", Outcome(failure(556, (5, 1, 10), "null MX")))
    assert found["peer_address"] is None
    assert found["delivery_protocol"] is None
    assert "tls_cipher" not in found
    assert uuid.UUID(found["session_id"]).hex == ID
