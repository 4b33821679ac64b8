"""What records of every generation say, and what none of them can make Guard believe."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard import records
from guard.events import Acceptance, Kind, Rejection
from guard.filters.hear import HEARD, MAX_COUNT, TYPES, event_of, fault

NOW = {
    "type": "Rejection",
    "id": "",
    "sender": "test@test.com",
    "recipient": "",
    "queue": "",
    "site": "",
    "size": 0,
    "response": {
        "code": 550,
        "enhanced_code": {"class": 5, "subject": 7, "detail": 1},
        "content": "relaying not permitted for 91.92.251.215:50312",
        "command": "RCPT TO:<somebody@example.net>",
    },
    "peer_address": {"name": "win-clj1b0gq6jp", "addr": "91.92.251.215"},
    "timestamp": 1757675281,
    "event_time": "2025-09-12T11:08:01.440526026Z",
    "created": 1757675281,
    "created_time": "2025-09-12T11:08:01.440526026Z",
    "num_attempts": 0,
    "bounce_classification": "Uncategorized",
    "egress_pool": None,
    "egress_source": None,
    "source_address": None,
    "feedback_report": None,
    "meta": {},
    "headers": {},
    "delivery_protocol": None,
    "reception_protocol": None,
    "nodeid": "dd2b41fd-78f0-4105-8cd9-01ac7114cada",
    "session_id": "9bcd689e-23d9-41b7-a015-63a1382f8b57",
}
TIME = 1757675281.440526026

# What a Reception looked like in 2023: none of session_id, event_time, source_address.
OF_2023 = {
    "type": "Reception",
    "id": "d7ef132b5d7711eea8c8000c29c33806",
    "sender": "user@example.com",
    "recipient": "bounce@my.own.hostname",
    "queue": "my.own.hostname",
    "site": "",
    "size": 1047,
    "response": {"code": 250, "enhanced_code": None, "content": "", "command": None},
    "peer_address": {"name": "mail.example.com", "addr": "10.0.0.7"},
    "timestamp": 1695826800,
    "created": 1695826800,
    "num_attempts": 0,
    "bounce_classification": "Uncategorized",
    "egress_pool": None,
    "egress_source": None,
    "feedback_report": None,
    "meta": {},
    "headers": {},
    "delivery_protocol": None,
    "reception_protocol": "ESMTP",
    "nodeid": "557f3ad4-2c8c-11ee-976e-782d7e12e173",
}


def hear(record: dict, **changes: object):
    """The event of `record`, through its JSON, with some members changed."""
    return event_of(records.decode(json.dumps({**record, **changes}).encode()))


def why(record: dict, **changes: object):
    """The fault of `record`, through its JSON, with some members changed."""
    return fault(records.decode(json.dumps({**record, **changes}).encode()))


def without(record: dict, *names: str) -> dict:
    """`record` as an older release wrote it."""
    return {name: value for name, value in record.items() if name not in names}


def test_a_rejection_of_today():
    """The record of the current release: kind by its reply, time with its fraction."""
    assert hear(NOW) == Rejection(TIME, "91.92.251.215", Kind.RELAY_DENIED)


@pytest.mark.parametrize(
    "record",
    [
        without(NOW, "event_time", "created_time"),
        without(NOW, "event_time", "created_time", "session_id"),
        {**without(NOW, "event_time"), "sender": None, "recipient": None},
        {**without(NOW, "event_time"), "recipient": ["a@example.com", "b@example.com"]},
        {**without(NOW, "event_time"), "timestamp": 1757675281.0},
        {**without(NOW, "event_time"), "peer_address": {"name": None, "addr": "91.92.251.215"}},
        {**without(NOW, "event_time"), "peer_address": {"addr": "91.92.251.215"}},
        {**without(NOW, "event_time"), "meta": None, "novelty": {"of": ["next", "year"]}},
        {**without(NOW, "event_time"), "meta": {"received_from": "91.92.251.215:50312"}},
        {**without(NOW, "event_time"), "tls_cipher": "X", "provider_name": "y"},
    ],
)
def test_rejections_of_every_release(record):
    """Members that came later may be missing, and any may be null, an array or unheard of."""
    assert hear(record) == Rejection(1757675281.0, "91.92.251.215", Kind.RELAY_DENIED)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ({"code": 504, "content": "AUTH NTLM not supported"}, Kind.AUTH_UNSUPPORTED),
        ({"code": 535, "content": "AUTH invalid", "command": None}, Kind.AUTH_FAILED),
        ({"code": 502, "content": "Command unimplemented"}, Kind.COMMAND_UNIMPLEMENTED),
        ({"code": 501, "content": "Syntax error in command or arguments"}, Kind.SYNTAX_ERROR),
        ({"code": 777, "content": None, "enhanced_code": None}, Kind.OTHER),
        ({}, Kind.OTHER),
        (None, Kind.OTHER),
    ],
)
def test_the_kind_comes_from_the_reply(reply, kind):
    """Guard's one table says what was refused; a reply that is missing is other."""
    assert hear(NOW, response=reply).kind is kind


def test_our_own_kind_and_count_are_taken():
    """Our listener's records say their kind, and how many they stand for."""
    heard = hear(NOW, kind="scanner", count=7)
    assert (heard.kind, heard.count) == (Kind.SCANNER, 7)


@pytest.mark.parametrize(("count", "taken"), [(0, 1), (-5, 1), (10**12, MAX_COUNT)])
def test_a_count_has_bounds(count, taken):
    """A record counts once at least and never for more than a bound."""
    assert hear(NOW, count=count).count == taken


def test_an_unknown_kind_is_worked_out():
    """A kind that this release does not know is not believed."""
    assert hear(NOW, kind="of_next_year").kind is Kind.RELAY_DENIED


def test_the_peers_words_never_name_an_address():
    """Addresses in EHLO name, command and content are text; only addr is the address."""
    heard = hear(
        NOW,
        peer_address={"name": "[192.0.2.66]", "addr": "::ffff:198.51.100.9"},
        sender="x@[192.0.2.66]",
        response={"code": 501, "content": "peer_address addr 192.0.2.66", "command": "192.0.2.66"},
    )
    assert heard.address == "198.51.100.9"


def test_a_reception_of_2023_is_accepted_mail():
    """The oldest record printed in KumoMTA's documentation is read without complaint."""
    assert hear(OF_2023) == Acceptance(1695826800.0, "10.0.0.7", "mail")


def test_deliveries_and_logins_are_good_standing():
    """A delivery, an authenticated reception and a login each say how."""
    assert hear(NOW, type="Delivery").how == "delivery"
    assert hear(NOW, type="Delivery", sender="a@example.com").how == "delivery"
    assert hear(OF_2023, meta={"authz_id": "daniel"}).how == "auth"
    assert hear(OF_2023, meta={"authz_id": ""}).how == "mail"


def test_an_accounting_record():
    """kumo.aaa's log tells who failed to log in, and who did not."""
    record = {
        "type": "Authentication",
        "timestamp": "2026-03-05T10:00:00.5Z",
        "attempted_identity": {"identity": "daniel", "context": "SmtpAuthPlainAuthentication"},
        "success": False,
        "auth_info": {"peer_address": "192.0.2.9", "identities": [], "groups": []},
    }
    assert hear(record) == Rejection(1772704800.5, "192.0.2.9", Kind.AUTH_FAILED)
    assert hear(record, success=True) == Acceptance(1772704800.5, "192.0.2.9", "auth")
    assert hear(record, auth_info=None) is None


@pytest.mark.parametrize("kind", sorted(TYPES - HEARD))
def test_other_records_say_nothing_and_are_no_fault(kind):
    """Bounces, transfers and the like concern other servers, not peers."""
    assert hear(NOW, type=kind) is None
    assert why(NOW, type=kind) is None


def test_records_on_their_way_to_a_webhook_are_no_mail():
    """KumoMTA sends log records through its own queues; those do not vouch for anybody."""
    assert hear(NOW, type="Delivery", sender="") is None, "a bounce goes where a stranger said"
    assert hear(NOW, type="Delivery", reception_protocol="LogRecord") is None
    assert why(NOW, type="Delivery", reception_protocol="LogRecord") is None


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"type": "Novelty"}, "unknown type"),
        ({"peer_address": None}, "no address"),
        ({"peer_address": {"name": "x", "addr": ""}}, "no address"),
        ({"peer_address": {"name": "x", "addr": "192.0.2.1:25"}}, "bad address"),
        ({"peer_address": {"name": "x", "addr": "scanner.example.com"}}, "bad address"),
        ({"timestamp": 0, "event_time": None}, "bad time"),
        ({"timestamp": -7, "event_time": None}, "bad time"),
        ({"timestamp": 1e300, "event_time": None}, "bad time"),
        ({"timestamp": "yesterday"}, "bad time"),
        ({"type": "Delivery", "peer_address": None}, None),
    ],
)
def test_what_cannot_be_used_says_why(changes, fault):
    """No event, and a reason that a reader can count; a delivery without a peer is no fault."""
    assert hear(NOW, **changes) is None
    assert why(NOW, **changes) == fault


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2025-09-12T11:08:01Z", 1757675281.0),
        ("2025-09-12T11:08:01.9Z", 1757675281.9),
        ("2025-09-12T11:08:01.25+00:00", 1757675281.0),  # KumoMTA writes Z
        ("2025-09-12T11:08:nanZ", 1757675281.0),
        ("2025-09-12T11:08:02.5Z", 1757675281.0),  # another second: timestamp rules
        ("2025-09-12T11:08:01.5", 1757675281.0),  # no zone: says nothing
        ("nonsense", 1757675281.0),
        ("2025-13-45T99:99:01.5Z", 1757675281.0),
    ],
)
def test_event_time_adds_its_fraction_only(text, time):
    """Text never moves an event to another second than `timestamp` names."""
    assert hear(NOW, event_time=text).time == time


def test_event_time_stands_in_for_a_missing_timestamp():
    """A producer that gives only event_time is heard."""
    assert hear(without(NOW, "timestamp")).time == pytest.approx(TIME, abs=1e-6)


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=40), st.text(max_size=40), st.floats(allow_nan=False) | st.text())
def test_any_values_are_heard_or_have_a_fault(text, address, timestamp):
    """No value of any member raises: it is an event or a fault, never neither, never both."""
    heard = records.Heard(
        type="Rejection",
        timestamp=timestamp,
        event_time=text,
        kind=text,
        peer_address=records.HeardPeer(name=text, addr=address),
        response=records.HeardResponse(code=501, content=text, command=text),
    )
    assert (event_of(heard) is None) == (fault(heard) is not None)


@settings(deadline=None, max_examples=300)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(sorted(NOW)), inner),
        max_leaves=12,
    )
    | st.binary()
)
def test_any_json_and_any_bytes_are_read_or_refused(value):
    """A line is a record, or raises ValueError in one printable word."""
    line = value if isinstance(value, bytes) else msgspec.json.encode(value)
    try:
        heard = records.decode(line)
    except ValueError:
        return
    assert event_of(heard) is None or fault(heard) is None


def test_deep_nesting_is_no_record():
    """A line of brackets alone does not exhaust the stack."""
    with pytest.raises(ValueError, match="not a log record"):
        records.decode(b'{"type":"Rejection","meta":' + b"[" * 100_000)
