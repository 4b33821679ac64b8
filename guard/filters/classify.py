"""Why a server refused: a reply and the command it answered, turned into a `Kind`.

One table for our own listener, for KumoMTA's records of both parser generations (releases of
2024.06 to 2026.03 with a pest grammar, later ones with nom) and for webhooks. What the peer wrote
(command, EHLO name, the echo of its line in a diagnostic) only ever decides which kind of offence
of its own this is. Knows no address and keeps nothing.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from guard.events import Kind
from guard.records import EnhancedCode


class _Row(NamedTuple):
    """A reply whose content begins with `content`; `unread` when the line was not understood.

    Only then does the line say what the peer really speaks: in `RCPT TO:<expanse@example.com>`
    it is an address and says nothing.
    """

    content: str
    kind: Kind
    unread: bool = False


_ANY = ""
_TABLE: dict[int, tuple[_Row, ...]] = {
    421: (
        _Row("technical difficulties", Kind.OTHER),
        _Row("too many", Kind.LIMIT),
    ),
    451: (_Row("too many recipients", Kind.LIMIT),),  # 452 since 2025.12.02
    452: (_Row("too many recipients", Kind.LIMIT),),
    500: (
        _Row("line too long", Kind.LIMIT, unread=True),
        _Row("authentication exchange line too long", Kind.LIMIT),
        _Row(_ANY, Kind.SYNTAX_ERROR, unread=True),
    ),
    501: (
        _Row("AUTH cancelled", Kind.OTHER),  # RFC 4954, section 4: a client may
        _Row("Cannot STARTTLS", Kind.BAD_SEQUENCE),
        _Row("Bad sender's mailbox", Kind.SYNTAX_ERROR),
        _Row("Invalid recipient address", Kind.SYNTAX_ERROR),
        _Row(_ANY, Kind.SYNTAX_ERROR, unread=True),
    ),
    502: (_Row(_ANY, Kind.COMMAND_UNIMPLEMENTED, unread=True),),
    503: (_Row(_ANY, Kind.BAD_SEQUENCE),),
    504: (_Row(_ANY, Kind.AUTH_UNSUPPORTED),),
    524: (_Row(_ANY, Kind.AUTH_UNSUPPORTED),),
    535: (_Row(_ANY, Kind.AUTH_FAILED),),
    538: (_Row(_ANY, Kind.AUTH_UNSUPPORTED),),
    550: (
        _Row("relaying not permitted", Kind.RELAY_DENIED),
        _Row("scanners are not served", Kind.SCANNER),  # etc/kumomta/guard.lua
    ),
    552: (
        _Row("message data must use CRLF", Kind.SYNTAX_ERROR),
        _Row(_ANY, Kind.LIMIT),
    ),
    554: (
        _Row("no service for scanners", Kind.SCANNER),
        _Row("this is SMTP, not", Kind.NON_SMTP),
    ),
}
# A member of a named tuple costs as much as the comparison itself.
_ROWS = {code: tuple((row.content, row) for row in rows) for code, rows in _TABLE.items()}
_OTHER = _Row(_ANY, Kind.OTHER)
_LIMIT = _Row(_ANY, Kind.LIMIT)
_EARLY = _Row(_ANY, Kind.EARLY_TALKER)

# A producer that does not split the enhanced code out of the text, as KumoMTA does.
_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3} +", re.ASCII)

# The line as the two parsers echo it, newlines already blanks: the only place where releases
# before 2024.09.02, whose `command` is null, tell it.
_ECHO = re.compile(
    r"Syntax error in command or arguments:"
    r"(?: *--> 1:\d+ +\| +1 \| (?P<pest>.*?) +\| |\s*Error at line 1, in \w+: (?P<nom>.*))",
    re.DOTALL,
)

# Its full sentence, or the name alone where a host name should be. Mail of the company itself
# comes from ordinary names below paloaltonetworks.com and is left alone.
_SCANNER = re.compile(
    r"palo ?alto networks company|\bexpanse, |\bx?panse\.co\b|scaninfo@paloaltonetworks"
    r"|^(?:ehlo|helo) +(?:cortex[- ])?e?xpanse\b|^(?:cortex[- ])?e?xpanse\b",
    re.IGNORECASE,
)

_METHODS = (
    "GET|HEAD|POST|PUT|DELETE|CONNECT|OPTIONS|TRACE|PATCH|PROPFIND|PRI"
    "|REGISTER|INVITE|SUBSCRIBE|DESCRIBE"
)
_HEADERS = (
    "User-Agent|Host|Accept(?:-[a-z]+)?|Connection|Proxy-[a-z]+|Content-[a-z]+|Cookie|Referer"
    "|Origin|Upgrade(?:-[a-z-]+)?|Cache-Control|Pragma|Authorization|Transfer-Encoding|Via|Max-Forwards"
    "|Sec-[a-z-]+|X-[a-z-]+|Forwarded|CSeq|Call-ID|DNT|TE|Range|If-[a-z-]+"
)
_NON_SMTP = re.compile(
    rf"(?:{_METHODS})(?: |$)"
    rf"|(?:{_HEADERS}) ?:"
    r"|.{0,200}\bHTTP/\d"
    r"|SSH-\d|PROXY (?:TCP[46]|UNKNOWN)\b|(?:\x1b%-12345X)?@PJL\b|\x1b%-12345X"
    r"|\x16\x03|\x03\x00\x00|.{0,64}mstshash=|\*\d+$|\$\d+$|\{\"",
    re.IGNORECASE,
)
_UTF8 = re.compile(r"Error in SmtpServerSession:.*utf-8 (?:byte )?sequence", re.DOTALL)


def classify(
    code: int,
    enhanced: EnhancedCode | None,
    content: str,
    command: str | None,
    name: str = "",
) -> Kind:
    """The kind of a refusal.

    `code`, `enhanced`, `content` and `command` are the members of a record's `response`; `content`
    may still begin with the enhanced code. `name` is what the peer said in EHLO. Never raises,
    whatever the values; what no row knows is `other`.
    """
    if enhanced is None and content[:1] in ("2", "4", "5"):
        content = _ENHANCED.sub("", content, count=1)
    row = _row(code, content)
    if name and _is_scanner(name):
        return Kind.SCANNER
    if row.unread:
        return _spoken(_echo(content) if command is None else command) or row.kind
    # Until 2026.06.23 a line that is not UTF-8 broke the session (reference: KumoMTA 2.3).
    if code == 421 and command and _UTF8.match(command):
        return Kind.SYNTAX_ERROR
    return row.kind


@lru_cache(maxsize=4096)
def _is_scanner(name: str) -> bool:
    """Whether an EHLO name is a scanner's. Few names come with most of the refusals."""
    return _SCANNER.search(name) is not None


def _row(code: int, content: str) -> _Row:
    for begin, row in _ROWS.get(code, ()):
        if content.startswith(begin):
            return row
    # The host name stands before the text of these.
    if code == 421 and " too many " in content:
        return _LIMIT
    if code == 554 and content.endswith((" speaks first", " did not offer pipelining yet")):
        return _EARLY
    return _OTHER


def _echo(content: str) -> str:
    found = _ECHO.match(content)
    return (found["pest"] or found["nom"] or "").strip() if found else ""


def _spoken(line: str) -> Kind | None:
    """What a line that is no SMTP command shows its writer to be, or None."""
    return _spoken_by(line[:512])


@lru_cache(maxsize=4096)
def _spoken_by(line: str) -> Kind | None:
    """The same for a short line: scanners say the same few lines all day."""
    if _SCANNER.search(line):
        return Kind.SCANNER
    if _NON_SMTP.match(line):
        return Kind.NON_SMTP
    return None
