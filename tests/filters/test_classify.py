"""guard/filters/classify.py: every reply has one kind, in every release that wrote it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.events import Kind
from guard.filters.classify import classify
from guard.records import EnhancedCode

PEST = (
    "Syntax error in command or arguments:  --> 1:1   |  1 | {line}   | ^---   |    = expected "
    "mail, rcpt, ehlo, helo, data, rset, quit, vrfy, expn, help, noop, starttls, or auth"
)
NOM = (
    "Syntax error in command or arguments: Error at line 1, in Eof: {line} ^^^  "
    "while parsing unknown-command while parsing command-verb"
)
EXPANSE = (
    "Expanse, a Palo Alto Networks company, searches across the global IPv4 space multiple times "
    "per day to identify customers' presences on the Internet. If you would like to be excluded "
    "from our scans, please send IP addresses/domains to: scaninfo@paloaltonetworks.com"
)
# reply as KumoMTA writes it, command of the record, kind
REPLIES = [
    ("550 5.7.1 relaying not permitted for 192.0.2.1:50312", "RCPT TO:<a@b.c>", "relay_denied"),
    ("550 5.7.1 relaying not permitted for [2001:db8::1]:25", "RCPT TO:<a@b.c>", "relay_denied"),
    ("550 5.7.1 relaying not permitted", "DATA", "relay_denied"),
    ("504 5.5.4 AUTH NTLM not supported", "AUTH NTLM", "auth_unsupported"),
    ("504 5.5.4 AUTH {sasl_mech} not supported", None, "auth_unsupported"),
    ("524 5.7.11 AUTH PLAIN requires an encrypted channel", "AUTH PLAIN", "auth_unsupported"),
    ("535 5.7.8 AUTH invalid", "AUTH PLAIN", "auth_failed"),
    ("503 5.5.1 AUTH me once, can't get authed again!", "AUTH PLAIN", "bad_sequence"),
    ("503 5.5.1 AUTH not permitted inside a transaction", "AUTH PLAIN", "bad_sequence"),
    ("501 5.5.0 AUTH cancelled by client", "AUTH PLAIN", "other"),
    ("501 5.5.2 Invalid base64 response", "AUTH PLAIN", "syntax_error"),
    ("501 5.5.2 Invalid decoded PLAIN response", "AUTH PLAIN", "syntax_error"),
    ("500 5.5.6 authentication exchange line too long", "AUTH PLAIN", "limit"),
    ("502 5.5.1 Command unimplemented", "bogus", "command_unimplemented"),
    ("502 5.5.1 Command unimplemented", "VRFY root", "command_unimplemented"),
    ("501 Syntax error in command or arguments", "MAIL garbage", "syntax_error"),
    ("501 " + PEST.format(line="bogus"), "bogus", "syntax_error"),
    ("501 " + PEST.format(line="bogus"), None, "syntax_error"),
    ("501 " + NOM.format(line=" "), "", "syntax_error"),
    ("501 5.1.7 Bad sender's mailbox address syntax", "MAIL FROM:<x y>", "syntax_error"),
    ("501 5.1.3 Invalid recipient address syntax", "RCPT TO:<x y>", "syntax_error"),
    ("501 5.5.2 Invalid UTF-8 in command", None, "syntax_error"),
    (
        "421 4.3.0 mx.example.com technical difficulties",
        "Error in SmtpServerSession: invalid utf-8 sequence of 1 bytes from index 5",
        "syntax_error",
    ),
    (
        "421 4.3.0 mx.example.com technical difficulties",
        "Error in SmtpServerSession: policy.lua:12: attempt to index a nil value",
        "other",
    ),
    ("500 5.2.3 line too long", None, "limit"),
    ("500 5.2.3 line too long", "DATA", "limit"),
    ("552 5.3.4 message too big", "DATA", "limit"),
    ("552 5.6.0 message data must use CRLF for line endings", "DATA", "syntax_error"),
    ("503 5.5.0 MAIL FROM must be issued first", "DATA", "bad_sequence"),
    ("452 4.5.3 too many recipients", "RCPT TO:<a@b.c>", "limit"),
    ("451 4.5.3 too many recipients", "RCPT TO:<a@b.c>", "limit"),
    ("421 4.5.3 mx.example.com too many recipients on this connection", "RCPT TO:<a@b>", "limit"),
    ("501 Cannot STARTTLS as TLS is already active", "STARTTLS", "bad_sequence"),
    ("550 insufficient authorization", None, "other"),
    ("421 4.7.0 mx.example.com too many errors", None, "limit"),
    ("554 5.5.1 mx.example.com speaks first", "EHLO x", "early_talker"),
    ("554 5.5.1 mx.example.com did not offer pipelining yet", "EHLO x", "early_talker"),
    ("554 5.7.1 no service for scanners: Expanse", "EHLO expanse", "scanner"),
    ("554 5.7.1 this is SMTP, not TLS", None, "non_smtp"),
    ("451 4.4.5 data_processing_timeout exceeded (rx)", "DATA", "other"),
    ("550 5.7.1 blocked by our own rule", "RCPT TO:<a@b.c>", "other"),
    ("599 5.9.9 never seen before", None, "other"),
    ("502 5.5.1 Command unimplemented", "GET / HTTP/1.1", "non_smtp"),
    ("501 " + PEST.format(line="GET / HTTP/1.1"), "GET / HTTP/1.1", "non_smtp"),
    ("501 " + PEST.format(line="GET / HTTP/1.1"), None, "non_smtp"),
    ("501 " + NOM.format(line="Host: 192.0.2.1"), None, "non_smtp"),
    ("501 Syntax error in command or arguments", "Host: 192.0.2.1:25", "non_smtp"),
    ("501 Syntax error in command or arguments", "User-Agent: cypex.ai/scanning", "non_smtp"),
    ("501 Syntax error in command or arguments", "Accept-Encoding: gzip", "non_smtp"),
    ("502 5.5.1 Command unimplemented", "POST / HTTP/1.0", "non_smtp"),
    ("502 5.5.1 Command unimplemented", "CONNECT mx.example.org:25 HTTP/1.1", "non_smtp"),
    ("502 5.5.1 Command unimplemented", "OPTIONS sip:nm SIP/2.0", "non_smtp"),
    ("502 5.5.1 Command unimplemented", "SSH-2.0-Go", "non_smtp"),
    ("501 Syntax error in command or arguments", f"User-Agent: {EXPANSE}", "scanner"),
    ("501 Syntax error in command or arguments", f"EHLO {EXPANSE}", "scanner"),
    ("501 " + PEST.format(line=f"EHLO {EXPANSE}"), None, "scanner"),
    ("502 5.5.1 Command unimplemented", EXPANSE, "scanner"),
    ("501 Syntax error in command or arguments", "EHLO Expanse!", "scanner"),
    ("550 5.7.1 relaying not permitted for 192.0.2.1:1", "RCPT TO:<expanse@b.c>", "relay_denied"),
    ("501 5.1.3 Invalid recipient address syntax", "RCPT TO:<xpanse.co >", "syntax_error"),
    ("501 Syntax error in command or arguments", "EHLO expansed.example!", "syntax_error"),
    ("501 Syntax error in command or arguments", "EHLO mx.paloaltonetworks.com!", "syntax_error"),
]


def split(reply: str) -> tuple[int, EnhancedCode | None, str]:
    """A reply as the members of a record: KumoMTA takes the enhanced code out of the content."""
    code, rest = reply.split(" ", 1)
    head, _, tail = rest.partition(" ")
    digits = head.split(".")
    if len(digits) == 3 and all(part.isdigit() for part in digits):
        return int(code), EnhancedCode(*map(int, digits)), tail
    return int(code), None, rest


@pytest.mark.parametrize(("reply", "command", "kind"), REPLIES)
def test_kind_of_every_reply(reply, command, kind):
    """Each reply of KumoMTA, of either generation, has the kind that the table says."""
    assert classify(*split(reply), command) == Kind(kind)


@pytest.mark.parametrize(("reply", "command", "kind"), REPLIES)
def test_an_unsplit_enhanced_code_changes_nothing(reply, command, kind):
    """A producer that leaves the enhanced code in the content gets the same kind."""
    code, rest = reply.split(" ", 1)
    assert classify(int(code), None, rest, command) == Kind(kind)


def test_name_of_a_scanner_outweighs_the_reply():
    """A peer that greeted with a scanner's sentence is one, whatever it was refused for."""
    reply = split("504 5.5.4 AUTH NTLM not supported")
    assert classify(*reply, "AUTH NTLM", EXPANSE) is Kind.SCANNER
    assert classify(*reply, "AUTH NTLM", "mx1.paloaltonetworks.com") is Kind.AUTH_UNSUPPORTED
    assert classify(*reply, "AUTH NTLM", "win-clj1b0gq6jp") is Kind.AUTH_UNSUPPORTED


@given(st.integers(), st.text(max_size=300), st.none() | st.text(max_size=300), st.text())
def test_never_raises(code, content, command, name):
    """Whatever a peer or a broken producer wrote, there is a kind."""
    assert classify(code, None, content, command, name) in Kind


@pytest.mark.parametrize("text", [" " * 100_000, "A-" * 50_000, "1 | " * 25_000, "expanse " * 9999])
def test_time_is_linear(text):
    """Long hostile text is not searched over and over."""
    for code in (421, 501, 502):
        assert classify(code, None, PEST.format(line=text), text, text[:1000]) in Kind
        assert classify(code, None, PEST.format(line=text), None) in Kind
