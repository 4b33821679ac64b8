"""Bounce reports: delivery status notifications of RFC 3464 (and 6533). Pure.

Recognised and read exactly as KumoMTA does (crates/kumo-log-types, rfc3464.rs): the top content
type is `multipart/report`, one direct part is the delivery status; every field that it should
have is there once and well formed, or the whole is not a report. Nobody checks here whether the
report is true: it is what some host says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from guard.mail.dates import parse_date
from guard.mail.mime import NotAReport, Part, fields, lines_normalised, parse_part
from guard.mail.reportfields import (
    Extensions,
    Mta,
    address,
    mta,
    one,
    required,
    rest,
    returned,
    typed,
)

_STATUS_TYPES = frozenset(("message/delivery-status", "message/global-delivery-status"))
_STATUS = re.compile(r"(\d{1,2})\.(\d{1,3})\.(\d{1,3})(?: (.*))?", re.ASCII | re.DOTALL)
_BLANK_LINE = re.compile(rb"\n[ \t]*\n")
_MOST_RECIPIENTS = 10_000


class Action(StrEnum):
    """What became of a recipient (2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


@dataclass(frozen=True, slots=True)
class Recipient:
    """`type; address` (2.3.1); for type `rfc822` the address has no brackets."""

    recipient_type: str
    recipient: str


@dataclass(frozen=True, slots=True)
class Status:
    """An enhanced status code (RFC 3463) and what else the field said."""

    class_: int
    subject: int
    detail: int
    comment: str | None


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """What the remote MTA answered (2.3.6); for type `smtp` that is an SMTP reply."""

    diagnostic_type: str
    diagnostic: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PerMessage:
    """The first block (2.2). Dates are seconds since the epoch."""

    reporting_mta: Mta
    original_envelope_id: str | None
    dsn_gateway: Mta | None
    received_from_mta: Mta | None
    arrival_date: int | None
    extensions: Extensions


@dataclass(frozen=True, slots=True, kw_only=True)
class PerRecipient:
    """One of the further blocks (2.3)."""

    final_recipient: Recipient
    action: Action
    status: Status
    original_recipient: Recipient | None
    remote_mta: Mta | None
    diagnostic_code: Diagnostic | None
    last_attempt_date: int | None
    final_log_id: str | None
    will_retry_until: int | None
    extensions: Extensions


@dataclass(frozen=True, slots=True)
class Report:
    """A whole report. `original_message` is the returned message or its headers, LF line ends."""

    per_message: PerMessage
    per_recipient: tuple[PerRecipient, ...]
    original_message: bytes | None


def parse(message: bytes) -> Report | None:
    """The bounce report that `message` is, or None. Never raises; any bytes will do."""
    try:
        return _report(parse_part(message))
    except NotAReport:
        return None


def _report(message: Part) -> Report | None:
    if message.content_type.value != "multipart/report":
        return None
    status: Part | None = None
    original: bytes | None = None
    for part in message.parts():
        if status is None and part.content_type.value in _STATUS_TYPES:
            status = part
        found = returned(part)
        original = original if found is None else found
    if status is None:
        raise NotAReport("no delivery status")
    # Blocks are parted by one blank line; Exchange and others write more of them.
    blocks = _BLANK_LINE.split(lines_normalised(status.decoded()).strip())
    first, *others = [block for block in blocks if block.strip()] or [b""]
    if len(others) > _MOST_RECIPIENTS:
        raise NotAReport("more recipients than any report has")
    return Report(_per_message(first), tuple(map(_per_recipient, others)), original)


def _per_message(block: bytes) -> PerMessage:
    found = fields(block)
    return PerMessage(
        reporting_mta=required(found, "reporting-mta", mta),
        original_envelope_id=one(found, "original-envelope-id", str),
        dsn_gateway=one(found, "dsn-gateway", mta),
        received_from_mta=one(found, "received-from-mta", mta),
        arrival_date=one(found, "arrival-date", _date),
        extensions=rest(found),
    )


def _per_recipient(block: bytes) -> PerRecipient:
    found = fields(block)
    return PerRecipient(
        final_recipient=required(found, "final-recipient", _recipient),
        action=required(found, "action", _action),
        status=required(found, "status", _status),
        original_recipient=one(found, "original-recipient", _recipient),
        remote_mta=one(found, "remote-mta", mta),
        diagnostic_code=one(found, "diagnostic-code", _diagnostic),
        last_attempt_date=one(found, "last-attempt-date", _date),
        final_log_id=one(found, "final-log-id", str),
        will_retry_until=one(found, "will-retry-until", _date),
        extensions=rest(found),
    )


def _recipient(text: str) -> Recipient:
    kind, value = typed(text)
    return Recipient(kind, address(value) if kind == "rfc822" else value)


def _diagnostic(text: str) -> Diagnostic:
    return Diagnostic(*typed(text))


def _action(text: str) -> Action:
    # RFC 3464 2.3.3 lets the word have any case; KumoMTA takes it in lower case only.
    try:
        return Action(text)
    except ValueError:
        raise NotAReport(f"action {text[:60]!r}") from None


def _status(text: str) -> Status:
    found = _STATUS.fullmatch(text)
    if found is None:
        raise NotAReport(f"status {text[:60]!r}")
    return Status(int(found[1]), int(found[2]), int(found[3]), found[4])


def _date(text: str) -> int:
    seconds = parse_date(text)
    if seconds is None:
        raise NotAReport(f"date {text[:60]!r}")
    return seconds
