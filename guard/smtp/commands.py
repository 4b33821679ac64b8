"""One command line, parsed: a pure function from text to a `Command`.

The grammar is RFC 5321 section 4.1 as KumoMTA reads it since 2026.04.09 (crates/rfc5321): UTF-8
everywhere, source routes skipped, an address without angle brackets when no parameter follows,
blanks after the colon. A `Command` that is not to be carried out has its refusal in `refusal`.
Knows no state of the session.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from functools import lru_cache

import msgspec

from guard.lib.networks import parse_address
from guard.relay.domain import canonical_domain
from guard.smtp import replies
from guard.smtp.replies import Reply


class Verb(Enum):
    """What a line asks for."""

    EHLO = "EHLO"
    HELO = "HELO"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    RSET = "RSET"
    NOOP = "NOOP"
    QUIT = "QUIT"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    PARTIAL = "PARTIAL"  # a known verb with arguments that it does not take
    UNPARSEABLE = "UNPARSEABLE"

    __hash__ = object.__hash__  # Enum's own is written in Python


class Address(msgspec.Struct, frozen=True, gc=False):
    """A mailbox; `domain` is a lower-case A-label name or a literal, empty for none."""

    local: str
    domain: str

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}" if self.domain else self.local


NULL_SENDER = Address("", "")
POSTMASTER = Address("postmaster", "")


class Command(msgspec.Struct, frozen=True, gc=False):
    """`argument` is the EHLO name or the AUTH mechanism; `initial` is AUTH's initial response."""

    verb: Verb
    argument: str = ""
    address: Address = NULL_SENDER
    parameters: tuple[str, ...] = ()
    initial: str | None = None
    refusal: Reply | None = None


# Beyond ASCII any character but the C1 controls and the two line separators (RFC 6531, 3.3).
_UTF8 = "\u00a0-\u2027\u202a-\U0010ffff"
_ATOM = rf"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~\-{_UTF8}]+"
_LOCAL = rf'(?:{_ATOM}(?:\.{_ATOM})*|"(?:[ !#-\[\]-~{_UTF8}]|\\[ -~])*")'
_LABEL = rf"[A-Za-z0-9_{_UTF8}][A-Za-z0-9_\-{_UTF8}]*"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[!-Z^-~]+\])"
_MAILBOX = rf"({_LOCAL})@({_DOMAIN})"
_ROUTE = rf"(?:@{_DOMAIN}(?:,@{_DOMAIN})*:)?"
_PARAMETERS = r"((?: +[A-Za-z0-9][A-Za-z0-9\-]*(?:=[!-<>-~]+)?)*)"

_NAME = re.compile(_DOMAIN)
_PATH = re.compile(rf"<{_ROUTE}{_MAILBOX}>")
_BARE = re.compile(rf"{_MAILBOX}")
_TAIL = re.compile(_PARAMETERS, re.ASCII)
_WORD = re.compile(r"([A-Za-z0-9]+)(?: +(\S.*)|\Z)", re.ASCII | re.DOTALL)
_AUTH = re.compile(r"([A-Za-z0-9_-]+)(?: +([A-Za-z0-9+/]*={0,2}))?", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9-]*[A-Za-z0-9]:.+", re.ASCII)
_V4_ONLY = re.compile(r"[0-9.]+", re.ASCII)
_ATTRIBUTES = re.compile(r"[A-Za-z]+=\S+(?: +[A-Za-z]+=\S+)*", re.ASCII)


def parse(line: str) -> Command:
    """What `line`, without its line end, asks for. Never raises, whatever the text."""
    exact = _EXACT.get(line)
    if exact:
        return exact
    # An attack repeats itself. Only lines that cannot be part of an AUTH are remembered.
    again = line[:4] in _REPEATED and len(line) <= _REPEATED_LENGTH
    return _again(line) if again else _parse(line)


_REPEATED = frozenset(("EHLO", "HELO", "MAIL", "RCPT"))
_REPEATED_LENGTH = 128


@lru_cache(maxsize=2048)
def _again(line: str) -> Command:
    return _parse(line)


def _parse(line: str) -> Command:
    found = _WORD.fullmatch(line)
    if not found:
        return Command(Verb.UNPARSEABLE, refusal=replies.unparseable(line))
    parser = _PARSERS.get(found[1].upper())
    if parser is None:
        return _UNKNOWN
    return parser(found[2] or "")


_UNKNOWN = Command(Verb.UNIMPLEMENTED, refusal=replies.UNIMPLEMENTED)
_PARTIAL = Command(Verb.PARTIAL, refusal=replies.SYNTAX)
_BAD_SENDER = Command(Verb.PARTIAL, refusal=replies.BAD_SENDER)
_NOT_ALLOWED = Command(Verb.PARTIAL, refusal=replies.XCLIENT_DENIED)
_BAD_RECIPIENT = Command(Verb.PARTIAL, refusal=replies.BAD_RECIPIENT)


def _alone(command: Command) -> Callable[[str], Command]:
    return lambda rest: _PARTIAL if rest else command


def _greeting(verb: Verb) -> Callable[[str], Command]:
    def parser(rest: str) -> Command:
        domain = parse_domain(rest) if _NAME.fullmatch(rest) else None
        return Command(verb, domain) if domain else _PARTIAL

    return parser


def _mail(rest: str) -> Command:
    if rest[:5].upper() != "FROM:":
        return _PARTIAL
    return _path(Verb.MAIL, rest[5:].lstrip(" "), "<>", NULL_SENDER, _BAD_SENDER)


def _rcpt(rest: str) -> Command:
    if rest[:3].upper() != "TO:":
        return _PARTIAL
    return _path(Verb.RCPT, rest[3:].lstrip(" "), "<postmaster>", POSTMASTER, _BAD_RECIPIENT)


def _path(verb: Verb, text: str, special: str, meaning: Address, bad: Command) -> Command:
    """MAIL's or RCPT's address and parameters; `special` is the one path without a domain."""
    if text[: len(special)].lower() == special:
        address, end = meaning, len(special)
    else:
        angled = text.startswith("<")
        found = (_PATH if angled else _BARE).match(text)
        domain = parse_domain(found[2]) if found else None
        if not found or domain is None or text[found.end() : found.end() + 1] not in ("", " "):
            return bad
        address, end = Address(found[1], domain), found.end()
        if not angled and end < len(text):
            return _PARTIAL  # RFC 5321 wants brackets; without them a parameter is ambiguous
    if end == len(text):
        return Command(verb, address=address)
    if not _TAIL.fullmatch(text, end):
        return _PARTIAL
    return Command(verb, address=address, parameters=tuple(text[end:].split()))


def _auth(rest: str) -> Command:
    found = _AUTH.fullmatch(rest)
    return Command(Verb.AUTH, found[1], initial=found[2]) if found else _PARTIAL


def _single_word(rest: str) -> Command:
    return _PARTIAL if " " in rest else _UNKNOWN


def _lhlo(rest: str) -> Command:
    return _UNKNOWN if _NAME.fullmatch(rest) and parse_domain(rest) else _PARTIAL


def _xclient(rest: str) -> Command:
    return _NOT_ALLOWED if _ATTRIBUTES.fullmatch(rest) else _PARTIAL


def parse_domain(text: str) -> str | None:
    """`text`, which has the form of a domain, as rules know it; None for a bad literal."""
    if text.startswith("[") and not _is_literal(text[1:-1]):
        return None
    return canonical_domain(text)


def _is_literal(inner: str) -> bool:
    """Whether `inner` is an address literal, RFC 5321 section 4.1.3."""
    try:
        if inner[:5].lower() == "ipv6:":
            parse_address(inner[5:])
            return ":" in inner[5:]
        if _V4_ONLY.fullmatch(inner):
            parse_address(inner)
            return True
    except ValueError:
        return False
    return _TAG.fullmatch(inner) is not None


# The verbs without an argument, and what password guessers begin with, as nearly everybody writes
# them.
_EXACT: dict[str, Command] = {
    f"AUTH {name}": Command(Verb.AUTH, name) for name in ("LOGIN", "PLAIN", "NTLM", "CRAM-MD5")
}
_VERBS: dict[str, Command] = {
    verb.value: Command(verb)
    for verb in (Verb.DATA, Verb.RSET, Verb.NOOP, Verb.QUIT, Verb.STARTTLS)
}
_EXACT |= _VERBS
_PARSERS: dict[str, Callable[[str], Command]] = {
    "EHLO": _greeting(Verb.EHLO),
    "HELO": _greeting(Verb.HELO),
    "MAIL": _mail,
    "RCPT": _rcpt,
    "AUTH": _auth,
    "VRFY": _single_word,
    "EXPN": _single_word,
    "HELP": _single_word,
    "LHLO": _lhlo,
    "XCLIENT": _xclient,
    **{word: _alone(command) for word, command in _VERBS.items()},
}


def declared_size(parameters: tuple[str, ...]) -> int:
    """MAIL's SIZE parameter (RFC 1870, section 3), 0 where there is none or it is no number."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        # RFC 1870: at most 20 digits.
        if name.upper() == "SIZE" and value.isascii() and value.isdigit() and len(value) <= 20:
            return int(value)
    return 0
