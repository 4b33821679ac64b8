"""Bounce and complaint reports, as the listener meets them at end of DATA.

The listener asks a `ReportReader` what a message is; guard/mail/reports.py answers; assemble/
introduces them. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from guard.records import Record
from guard.relay.verdict import Reports, Verdict


@dataclass(frozen=True, slots=True)
class Report:
    """A message that was recognised as a report, and `mode`, what the policy wants done with it.

    `records` are written beside the Reception record, or, if `replaces`, in its stead, as KumoMTA
    does for complaints.
    """

    mode: Reports
    records: tuple[Record, ...] = ()
    replaces: bool = False


ReportReader = Callable[[bytes, Record, Verdict], Report | None]
"""Reads the first part of a message, its Reception record and the verdict on its recipients.

None when it is no report, or one of a kind that the verdict ignores. Never raises. Takes a moment
for a large message: called in a worker thread.
"""


def wanted(verdict: Verdict, report: Report | None) -> bool:
    """Whether the message is to be delivered.

    KumoMTA's `true` relays a report for anybody; ours (LOG) only where relaying is allowed anyway.
    """
    if report is None or report.mode in (Reports.LOG, Reports.IGNORE):
        return verdict.relay
    return report.mode is Reports.LOG_THEN_RELAY
