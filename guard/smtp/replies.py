"""What the listener says: one table of replies, KumoMTA's letter for letter.

A `Reply` carries its bytes ready for the wire beside the members that a log record wants. Source:
crates/kumod/src/smtp_server.rs of 2026-08. Ours alone are the banner, the EHLO greeting and the
replies below the line at the end of the table. Nothing here decides anything.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from guard.lib.logs import printable
from guard.records import EnhancedCode

_STATUS = re.compile(r"([2-5]\d\d) (?:([245])\.(\d{1,3})\.(\d{1,3}) )?(.*)", re.ASCII | re.DOTALL)


class Reply(msgspec.Struct, frozen=True, gc=False):
    """`content` has neither code nor enhanced code; `wire` is the whole, CRLF included."""

    code: int
    enhanced: EnhancedCode | None
    content: str
    wire: bytes


def reply(text: str) -> Reply:
    """The reply that reads `text`, such as `550 5.7.1 no`; a newline begins a continuation line.

    Other control characters of `text` are written escaped: a reply is never more lines than here.
    """
    found = _STATUS.fullmatch(text)
    assert found, text
    code, enhanced = int(found[1]), None
    if found[2]:
        enhanced = EnhancedCode(int(found[2]), int(found[3]), int(found[4]))
    lines = [line if line.isprintable() else printable(line) for line in text[4:].split("\n")]
    # RFC 5321, section 4.2.1: every line but the last has a hyphen after the code.
    wire = "".join(f"{code}-{line}\r\n" for line in lines[:-1]) + f"{code} {lines[-1]}\r\n"
    content = "\n".join(lines)
    if enhanced:
        content = content.split(" ", 1)[1]
    return Reply(code, enhanced, content, wire.encode())


# The replies with something of the client's in them are put together by hand: `reply` would take
# apart again what is known, and these are what an attack is answered with.
_5_5_4, _5_7_1, _5_7_11 = EnhancedCode(5, 5, 4), EnhancedCode(5, 7, 1), EnhancedCode(5, 7, 11)


def relay_denied(peer: str) -> Reply:
    """RCPT refused. `peer` is `ip:port`, IPv6 in brackets."""
    content = f"relaying not permitted for {peer}"
    return Reply(550, _5_7_1, content, f"550 5.7.1 {content}\r\n".encode())


def auth_unsupported(said: str, shown: str) -> Reply:
    """No such mechanism. The client reads back the name it `said`; `shown` is for the record."""
    wire = f"504 5.5.4 AUTH {said} not supported\r\n".encode()
    return Reply(504, _5_5_4, f"AUTH {shown} not supported", wire)


def auth_not_encrypted(name: str) -> Reply:
    """A mechanism of ours, without TLS."""
    content = f"AUTH {name} requires an encrypted channel"
    return Reply(524, _5_7_11, content, f"524 5.7.11 {content}\r\n".encode())


def unparseable(line: str) -> Reply:
    """A line that begins with no word. The layout is that of KumoMTA's parser (nom, 2026.04.09)."""
    if not line:
        return _EMPTY_LINE
    line = printable(line)
    return Reply(
        501,
        None,
        "Syntax error in command or arguments: Error at line 1, in Eof:\n"
        f"{line}\n^\n\nwhile parsing command-verb",
        (
            "501-Syntax error in command or arguments: Error at line 1, in Eof:\r\n"
            f"501-{line}\r\n501-^\r\n501-\r\n501 while parsing command-verb\r\n"
        ).encode(),
    )


_EMPTY_LINE: Final = reply(
    "501 Syntax error in command or arguments: Error in TakeWhile1, got empty input\n"
    "while parsing command-verb"
)


NOT_A_REPORT: Final = reply("550 5.7.1 relaying not permitted")
UNIMPLEMENTED: Final = reply("502 5.5.1 Command unimplemented")
SYNTAX: Final = reply("501 Syntax error in command or arguments")
BAD_SENDER: Final = reply("501 5.1.7 Bad sender's mailbox address syntax")
BAD_RECIPIENT: Final = reply("501 5.1.3 Invalid recipient address syntax")
NOT_UTF8: Final = reply("501 5.5.2 Invalid UTF-8 in command")
LINE_TOO_LONG: Final = reply("500 5.2.3 line too long")
TOO_BIG: Final = reply("552 5.3.4 message too big")
BARE_LINE_END: Final = reply("552 5.6.0 message data must use CRLF for line endings")
MAIL_TWICE: Final = reply("503 5.5.0 MAIL FROM already issued; you must RSET first")
MAIL_FIRST: Final = reply("503 5.5.0 MAIL FROM must be issued first")
RCPT_FIRST: Final = reply("503 5.5.0 RCPT TO must be issued first")
TOO_MANY_RECIPIENTS: Final = reply("452 4.5.3 too many recipients")
TOO_MANY_ON_CONNECTION: Final = reply("452 4.5.3 too many recipients on this connection")
XCLIENT_DENIED: Final = reply("550 insufficient authorization")
TLS_TWICE: Final = reply("501 Cannot STARTTLS as TLS is already active")
AUTH_INVALID: Final = reply("535 5.7.8 AUTH invalid")
AUTH_TWICE: Final = reply("503 5.5.1 AUTH me once, can't get authed again!")
AUTH_IN_TRANSACTION: Final = reply("503 5.5.1 AUTH not permitted inside a transaction")
AUTH_CANCELLED: Final = reply("501 5.5.0 AUTH cancelled by client")
AUTH_NOT_BASE64: Final = reply("501 5.5.2 Invalid base64 response")
AUTH_NOT_PLAIN: Final = reply("501 5.5.2 Invalid decoded PLAIN response")
AUTH_NOT_UTF8: Final = reply("501 5.5.2 Invalid UTF8 in decoded PLAIN response")
AUTH_LINE_NOT_UTF8: Final = reply("501 5.5.2 Invalid UTF-8 in authentication exchange")
AUTH_LINE_TOO_LONG: Final = reply("500 5.5.6 authentication exchange line too long")

AUTH_OK: Final = reply("235 2.7.0 AUTH OK!")
RESET: Final = reply("250 Reset state")
NOOP: Final = reply("250 the goggles do nothing")
QUIT: Final = reply("221 So long, and thanks for all the fish!")
START_TLS: Final = reply("220 Ready to Start TLS")
SEND_BODY: Final = reply("354 Send body; end with CRLF.CRLF")
CONTINUE: Final = b"334  \r\n"  # KumoMTA writes the text of an empty challenge as one blank

# With a host name in them; `format` fills it in, once per listener. limits.py has more.
SHUTTING_DOWN: Final = "421 4.3.2 {} shutting down"
TECHNICAL: Final = "421 4.3.0 {} technical difficulties"
TOO_MANY_CLOSING: Final = "421 4.5.3 {} too many recipients on this connection"
AUTH_CLOSING: Final = "421 4.7.0 {} too many authentication failures"
BLOCKED: Final = "554 5.7.1 {} does not talk to your address"
PIPELINING: Final = "554 5.5.1 {} did not offer pipelining yet"
EARLY: Final = "554 5.5.1 {} speaks first"

# With the name of a scanner or a protocol.
SCANNER: Final = "554 5.7.1 no service for scanners: {}"
NOT_SMTP: Final = "554 5.7.1 this is SMTP, not {}"

# Ours, for what KumoMTA does not have or does in silence.
OTHER_VERDICT: Final = reply("452 4.5.3 this recipient needs a transaction of its own")
SPOOL_CLOSED: Final = reply("452 4.3.1 the spool is not accepting writes. Try later")
EHLO_FIRST: Final = reply("503 5.5.1 EHLO must be issued first")
OWN_NAME: Final = reply("550 5.7.1 that is my own name")
NOT_STORED: Final = reply("452 4.3.1 the message could not be stored. Try later")
AUTH_UNAVAILABLE: Final = reply("454 4.7.0 Temporary authentication failure")
BARE_LF: Final = reply(
    "501 Syntax error in command or arguments: Error at line 1, in Crlf:\n"
    "a command must end with CRLF\n\nwhile parsing command-verb"
)
