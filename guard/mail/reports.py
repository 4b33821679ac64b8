"""Whether a message is a report that its recipients want logged, and what is logged of it.

Pure. The rules are KumoMTA's (smtp_server.rs, end of DATA; logging/disposition.rs): a complaint
is looked for first; a kind that the verdict ignores is not looked for; what cannot be read as a
whole is ordinary mail. What then becomes of the message is decided in guard/relay/reports.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from guard.lib.timestamps import rfc3339
from guard.mail import arf, rfc3464
from guard.records import EnhancedCode, PeerAddress, Record, Response
from guard.relay.reports import Report
from guard.relay.verdict import Reports, Verdict

_NO_DIAGNOSTIC = 550


def read_report(message: bytes, reception: Record, verdict: Verdict) -> Report | None:
    """The report that `message` is, with its records; a ReportReader. Never raises."""
    if verdict.log_arf is not Reports.IGNORE and (complaint := arf.parse(message)) is not None:
        feedback = msgspec.structs.replace(
            reception, type="Feedback", feedback_report=arf.as_json(complaint)
        )
        return Report(verdict.log_arf, (feedback,), replaces=True)
    if verdict.log_oob is not Reports.IGNORE and (bounce := rfc3464.parse(message)) is not None:
        return Report(verdict.log_oob, tuple(_oob_records(bounce, reception)))
    return None


def _oob_records(bounce: rfc3464.Report, reception: Record) -> Iterator[Record]:
    """One OOB record per failed recipient of `bounce`, which came as `reception` tells."""
    to = reception.recipient
    client = reception.peer_address.addr if reception.peer_address else ""
    for failed in bounce.per_recipient:
        if failed.action is not rfc3464.Action.FAILED:
            continue
        when = failed.last_attempt_date
        yield msgspec.structs.replace(
            reception,
            type="OOB",
            size=0,
            # The bounce went to the sender of the message that failed.
            sender=to if isinstance(to, str) else to[0],
            recipient=(failed.original_recipient or failed.final_recipient).recipient,
            response=_response(failed),
            peer_address=PeerAddress(bounce.per_message.reporting_mta.name, client),
            timestamp=reception.timestamp if when is None else when,
            event_time=reception.event_time if when is None else rfc3339(when),
            tls_cipher=msgspec.UNSET,
            tls_protocol_version=msgspec.UNSET,
        )


def _response(failed: rfc3464.PerRecipient) -> Response:
    """The reply that the report tells of, as KumoMTA takes it out of the diagnostic."""
    code, content = _NO_DIAGNOSTIC, ""
    diagnostic = failed.diagnostic_code
    if diagnostic is not None and diagnostic.diagnostic_type == "smtp":
        content = diagnostic.diagnostic
        word, blank, others = content.partition(" ")
        if blank and len(word) <= 4 and word.isascii() and word.isdigit():
            code, content = int(word), others
    status = failed.status
    enhanced = EnhancedCode(class_=status.class_, subject=status.subject, detail=status.detail)
    return Response(code=code, enhanced_code=enhanced, content=content)
