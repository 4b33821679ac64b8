"""filter.d/kumomta.conf in the real fail2ban: the same kinds as Guard, and nothing to forge."""

import pytest
from kumomta_filter import MODES, NOM, PEST, found, kinds, record

from guard.events import Kind, Rejection
from guard.filters.hear import event_of
from guard.records import decode

pytestmark = pytest.mark.fail2ban
REPLIES = [
    (550, "5.7.1", "relaying not permitted for 192.0.2.1:50312"),
    (550, "", "5.7.1 relaying not permitted"),
    (550, "5.7.1", "5.7.1 relaying not permitted"),
    (550, "5.7.1", "blocked; relaying not permitted"),
    (550, "", "insufficient authorization"),
    (550, "5.7.1", "scanners are not served here"),
    (504, "5.5.4", "AUTH NTLM not supported"),
    (524, "5.7.11", "AUTH PLAIN requires an encrypted channel"),
    (535, "5.7.8", "AUTH invalid"),
    (538, "", "Encryption required"),
    (503, "5.5.1", "AUTH me once, can't get authed again!"),
    (503, "5.5.0", "MAIL FROM must be issued first"),
    (501, "5.5.0", "AUTH cancelled by client"),
    (501, "5.5.2", "Invalid base64 response"),
    (501, "", "Syntax error in command or arguments"),
    (501, "5.1.7", "Bad sender's mailbox address syntax"),
    (501, "5.1.3", "Invalid recipient address syntax"),
    (501, "5.5.2", "Invalid UTF-8 in command"),
    (501, "", "Cannot STARTTLS as TLS is already active"),
    (502, "5.5.1", "Command unimplemented"),
    (500, "5.2.3", "line too long"),
    (500, "5.5.6", "authentication exchange line too long"),
    (500, "", "5.5.1 what was that"),
    (552, "5.3.4", "message too big"),
    (552, "5.6.0", "message data must use CRLF for line endings"),
    (452, "4.5.3", "too many recipients"),
    (421, "4.3.0", "mx.example.com technical difficulties"),
    (421, "4.5.3", "mx.example.com too many recipients on this connection"),
    (451, "4.4.5", "data_processing_timeout exceeded (rx)"),
    (554, "5.7.1", "no service for scanners"),
    (554, "5.5.0", "this is SMTP, not HTTP"),
    (554, "5.5.1", "mx.example.com speaks first"),
    (554, "5.7.1", "no"),
    (599, "5.9.9", "never seen before"),
]
EXPANSE = "Expanse, a Palo Alto Networks company, searches across the global IPv4 space"
LINES = [
    None,
    "",
    "DATA",
    "RCPT TO:<a@b.example>",
    "bogus",
    "GET / HTTP/1.1",
    "GET",
    "get /",
    "GETTING",
    "x y z HTTP/1.0",
    "xHTTP/1.0",
    "Host: 192.0.2.1",
    "Hostess: x",
    "User-Agent: x",
    f"User-Agent: {EXPANSE}",
    f"EHLO {EXPANSE}",
    "EHLO expanse!",
    "EHLO expansed.example",
    "SSH-2.0-Go",
    "\x16\x03\x01\x02",
    "\x03\x00\x00+&\xe0 Cookie: mstshash=nmap",
    "\x1b%-12345X@PJL INFO",
    "@PJL INFO",
    "*1",
    "*1x",
    "$4",
    '{"id": 1}',
    "PROXY TCP4 192.0.2.1",
    "CSeq : 1",
    "Error in SmtpServerSession: invalid utf-8 sequence of 1 bytes from index 5",
    'quote " and \\ backslash and \t tab',
]
NAMES = [
    "",
    "client",
    "expanse",
    "cortex-xpanse",
    "x" + EXPANSE,
    'a"b\\',
    "mx.paloaltonetworks.com",
]
RECORDS = [
    record(code, enhanced, content, command, name)
    for name in NAMES
    for code, enhanced, content in REPLIES
    for command in (LINES if code // 10 == 50 or name == "client" else LINES[:4])
] + [
    record(501, "", form.format(line), None) for form in (PEST, NOM) for line in LINES if line
]  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_finds_what_guard_counts(mode):
    """Each reply of KumoMTA with each command: found exactly when its kind is of the mode."""
    wanted = kinds(mode)
    wrong = []
    for line, matches in zip(RECORDS, found(mode, RECORDS), strict=True):
        event = event_of(decode(line.encode()))
        assert isinstance(event, Rejection)
        expected = [("192.0.2.1", 1757675281.0)] if event.kind in wanted else []
        if matches != expected:
            wrong.append((event.kind, line[:600], matches))
    assert not wrong, f"{len(wrong)} of {len(RECORDS)}, such as {wrong[:3]}"


@pytest.mark.parametrize("mode", MODES)
def test_records_of_guards_listener_go_by_their_kind(mode):
    """Whatever the reply was: `kind` at the end of the record decides, with and without a count."""
    lines = [
        record(599, "", "our own words", "x", kind=str(kind), **count)
        for kind in Kind
        for count in ({}, {"count": 12})
    ]
    expected = [bool(kind in kinds(mode)) for kind in Kind for _ in range(2)]
    assert [bool(matches) for matches in found(mode, lines)] == expected


def test_a_kind_that_a_stranger_wrote_decides_nothing():
    """In a nested object, in a text, in the middle."""
    fakes: list[dict[str, object]] = [
        {"meta": {"kind": "scanner"}},
        {"headers": {"kind": "scanner"}, "session_id": "x"},
        {"session_id": '","kind":"scanner"}'},
        {"session_id": '","kind":"scanner'},
        {"last": {"kind": "scanner"}},
        {"kind": "scanner", "last": 1},
        {"kind": {"kind": "scanner"}},
    ]
    lines = [record(550, "5.7.1", "relaying not permitted", "x", **fake) for fake in fakes]
    assert found("scanner", lines) == [[]] * len(lines)
    assert [len(matches) for matches in found("relay", lines)] == [1] * len(lines)
