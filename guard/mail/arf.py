"""Complaint reports: the Abuse Reporting Format of RFC 5965. Pure.

Recognised and read exactly as KumoMTA does (crates/kumo-log-types, rfc5965.rs), its departures
included: Received-Date stands in for Arrival-Date, a date that is no date is none and fails
nothing, and a header of the embedded message may carry what KumoMTA hid there when it sent it.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from guard.lib.timestamps import rfc3339
from guard.mail.dates import parse_date
from guard.mail.mime import NotAReport, Part, fields, lines_normalised, parse_part
from guard.mail.reportfields import (
    Extensions,
    Fields,
    Mta,
    address,
    every,
    mta,
    one,
    required,
    rest,
    returned,
)

_MARKER, _MARK = "_@_", "\\_/"
_MOST_INCIDENTS = 2**32 - 1
_LONGEST_TRACE = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A complaint (RFC 5965, 3). Names, the odd `original_rcpto_to` too, are KumoMTA's."""

    feedback_type: str
    user_agent: str
    version: str
    arrival_date: int | None
    incidents: int | None
    original_envelope_id: str | None
    original_mail_from: str | None
    reporting_mta: Mta | None
    source_ip: str | None
    authentication_results: tuple[str, ...]
    original_rcpto_to: tuple[str, ...]
    reported_domain: tuple[str, ...]
    reported_uri: tuple[str, ...]
    extensions: Extensions
    original_message: bytes | None
    supplemental_trace: Mapping[str, object] | None


def parse(message: bytes) -> Report | None:
    """The complaint that `message` is, or None. Never raises; any bytes will do."""
    try:
        return _report(parse_part(message))
    except NotAReport:
        return None


def as_json(report: Report) -> dict[str, object]:
    """`report` as the member `feedback_report` of KumoMTA's Feedback record."""
    sender = report.reporting_mta
    return {
        "feedback_type": report.feedback_type,
        "user_agent": report.user_agent,
        "version": report.version,
        "arrival_date": None if report.arrival_date is None else rfc3339(report.arrival_date),
        "incidents": report.incidents,
        "original_envelope_id": report.original_envelope_id,
        "original_mail_from": report.original_mail_from,
        "reporting_mta": sender and {"mta_type": sender.mta_type, "name": sender.name},
        "source_ip": report.source_ip,
        "authentication_results": list(report.authentication_results),
        "original_rcpto_to": list(report.original_rcpto_to),
        "reported_domain": list(report.reported_domain),
        "reported_uri": list(report.reported_uri),
        "extensions": {
            name: [_text_or_numbers(value) for value in values]
            for name, values in sorted(report.extensions.items())
        },
        "original_message": (
            None if report.original_message is None else _text_or_numbers(report.original_message)
        ),
        "supplemental_trace": report.supplemental_trace,
    }


def _report(message: Part) -> Report | None:
    kind = message.content_type
    if kind.value != "multipart/report":
        return None
    if kind.parameters.get("report-type") != "feedback-report":
        return None
    feedback: Part | None = None
    original: bytes | None = None
    trace: Mapping[str, object] | None = None
    for part in message.parts():
        if feedback is None and part.content_type.value == "message/feedback-report":
            feedback = part
        found = returned(part)
        if found is not None:
            original, trace = found, _trace(found) or trace
    if feedback is None:
        raise NotAReport("no feedback part")
    block, _, _ = lines_normalised(feedback.body).lstrip(b"\n").partition(b"\n\n")
    return _from_fields(fields(block), original, trace)


def _from_fields(
    found: Fields, original: bytes | None, trace: Mapping[str, object] | None
) -> Report:
    return Report(
        feedback_type=required(found, "feedback-type", str),
        user_agent=required(found, "user-agent", str),
        version=required(found, "version", str),
        arrival_date=_arrival(found),
        incidents=one(found, "incidents", _incidents),
        original_envelope_id=one(found, "original-envelope-id", str),
        original_mail_from=one(found, "original-mail-from", address),
        reporting_mta=one(found, "reporting-mta", mta),
        source_ip=one(found, "source-ip", str),
        authentication_results=every(found, "authentication-results", str),
        original_rcpto_to=every(found, "original-rcpt-to", address),
        reported_domain=every(found, "reported-domain", str),
        reported_uri=every(found, "reported-uri", str),
        extensions=rest(found),
        original_message=original,
        supplemental_trace=trace,
    )


def _arrival(found: Fields) -> int | None:
    """Arrival-Date; where there is none, Received-Date as Yahoo has it. What is wrong is None."""
    name = "arrival-date" if "arrival-date" in found else "received-date"
    try:
        text = one(found, name, str)
    except NotAReport:
        return None
    return None if text is None else parse_date(text)


def _incidents(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise NotAReport(f"incidents {text[:60]!r}")
    if int(text) > _MOST_INCIDENTS:
        raise NotAReport("more incidents than a number holds")
    return int(text)


def _trace(original: bytes) -> Mapping[str, object] | None:
    """What KumoMTA put into an `X-` header of the message when it sent it, or None."""
    for name, value in parse_part(original).headers:
        if name.startswith("x-") and (trace := _decoded_trace(b"".join(value.split()))) is not None:
            return trace
    return None


def _decoded_trace(encoded: bytes) -> Mapping[str, object] | None:
    if len(encoded) > _LONGEST_TRACE:
        return None
    try:
        found = msgspec.json.decode(binascii.a2b_base64(encoded, strict_mode=True))
        msgspec.json.encode(found)  # it goes into a record: what cannot be written is not ours
    except (binascii.Error, msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
        return None
    if not isinstance(found, dict) or found.pop(_MARKER, None) != _MARK:
        return None
    return found


def _text_or_numbers(value: str | bytes) -> str | list[int]:
    """KumoMTA's BStringUtf8: text where it is text, else the numbers of its bytes."""
    if isinstance(value, str):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return list(value)
