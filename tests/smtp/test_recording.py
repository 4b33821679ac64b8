"""guard/smtp/recording.py: records with KumoMTA's members and nothing that a peer could forge."""

import json
import re

from guard.lib.networks import parse_address
from guard.records import encode
from guard.smtp.ids import session_ids
from guard.smtp.listener import Peer, Tls
from guard.smtp.recording import Recorder, rfc3339
from guard.smtp.replies import relay_denied

PEER = Peer(
    parse_address("91.92.251.215"), "91.92.251.215", 50312, "91.92.251.215:50312", "10.0.0.1:25"
)
NODE = "dd2b41fd-78f0-4105-8cd9-01ac7114cada"
NOW = 1757675281.440526026
# The example of KumoMTA's own members, in its order, with our `kind` at the end.
EXPECTED = (
    '{"type":"Rejection","id":"","sender":"test@test.com","recipient":"","queue":"","site":"",'
    '"size":0,"response":{"code":550,"enhanced_code":{"class":5,"subject":7,"detail":1},'
    '"content":"relaying not permitted for 91.92.251.215:50312",'
    '"command":"RCPT TO:<mmiihhww09@gmail.com>"},"peer_address":{"name":"win-clj1b0gq6jp",'
    '"addr":"91.92.251.215"},"timestamp":1757675281,"event_time":"TIME","created":1757675281,'
    '"created_time":"TIME","num_attempts":0,"bounce_classification":"Uncategorized",'
    '"egress_pool":null,"egress_source":null,"source_address":null,"feedback_report":null,'
    '"meta":{},"headers":{},"delivery_protocol":null,"reception_protocol":null,'
    f'"nodeid":"{NODE}","session_id":"UUID","kind":"relay_denied"}}'
)


def test_a_rejection_is_kumomtas_with_a_kind():
    """Every member, in order, as in the example that was made from KumoMTA's source."""
    recorder = Recorder(PEER, NODE, session_ids())
    record = recorder.rejection(
        NOW,
        relay_denied(PEER.name),
        "RCPT TO:<mmiihhww09@gmail.com>",
        name="win-clj1b0gq6jp",
        sender="test@test.com",
    )
    line = encode(record).decode()
    line = re.sub(r"2025-09-12T11:08:01\.44052\d{4}Z", "TIME", line)
    assert line.replace(recorder.session_id, "UUID") == EXPECTED


def test_a_session_has_one_id():
    """All its records have the same."""
    recorder = Recorder(PEER, NODE, session_ids())
    assert recorder.session_id == recorder.session_id


def test_a_reception():
    """One recipient is text, several are a list; TLS members are there when TLS was."""
    recorder = Recorder(PEER, NODE, session_ids())
    values = {"name": "x", "id_": "0" * 32, "sender": "", "queue": "b.c", "size": 7}
    one = recorder.reception(NOW, recipients=["a@b.c"], protocol="ESMTP", **values)
    assert (one.recipient, one.response.code, one.response.command) == ("a@b.c", 250, None)
    assert "tls_cipher" not in json.loads(encode(one))
    recorder.tls = Tls("AES", "TLSv1.3")
    two = recorder.reception(NOW, recipients=["a@b.c", "d@b.c"], protocol="ESMTPS", **values)
    told = json.loads(encode(two))
    assert told["recipient"] == ["a@b.c", "d@b.c"]
    assert (told["tls_cipher"], told["tls_protocol_version"]) == ("AES", "TLSv1.3")


def test_times():
    """UTC, nine decimals, also just before a second is full."""
    assert rfc3339(0.0) == "1970-01-01T00:00:00.000000000Z"
    assert rfc3339(1757675281.25) == "2025-09-12T11:08:01.250000000Z"
    assert rfc3339(1757675281.999999).startswith("2025-09-12T11:08:01.99999")
