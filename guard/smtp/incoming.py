"""One message on its way in: what is written of it where, and what becomes of it in the end.

The spool file is made only when the message may have to be delivered: a stranger whose message can
but be a report that is logged and dropped never touches the disk. Of a message that may be a
report the first part is kept in memory, which is where a report says that it is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from secrets import token_hex

from guard.records import Record
from guard.relay.reports import Report, ReportReader, wanted
from guard.relay.verdict import Reports, Verdict
from guard.roles import Spool, SpoolFile

REPORT_PREFIX = 256 * 1024


def no_reports(_message: bytes, _reception: Record, _verdict: Verdict) -> Report | None:
    """Recognises nothing."""
    return None


@dataclass(frozen=True, slots=True)
class Accepted:
    """How a message ended well: its records, the Reception or what replaces it first."""

    id: str
    records: tuple[Record, ...]


class Incoming:
    """A message being received for one verdict. Used by one thread at a time.

    `size` counts what was written, our own header too, as KumoMTA's records do.
    """

    def __init__(
        self,
        spool: Spool,
        sender: str,
        recipients: Sequence[str],
        meta: Mapping[str, str],
        verdict: Verdict,
    ) -> None:
        """Raises Unavailable when the spool does not take a message now."""
        self._verdict = verdict
        self.size = 0
        modes = (verdict.log_oob, verdict.log_arf)
        self._file: SpoolFile | None = None
        if verdict.relay or Reports.LOG_THEN_RELAY in modes:
            self._file = spool.create(sender, recipients, meta)
        self._prefix = None if modes == (Reports.IGNORE, Reports.IGNORE) else bytearray()
        self.id = self._file.id if self._file else token_hex(16)

    def write(self, data: bytes) -> None:
        """Adds bytes of the message. Raises Unavailable."""
        self.size += len(data)
        if self._prefix is not None and len(self._prefix) < REPORT_PREFIX:
            self._prefix += data
        if self._file:
            self._file.write(data)

    def finish(self, reception: Record, reader: ReportReader) -> Accepted | None:
        """Keeps the message, durably, or drops it, as the verdict wants; None when it is refused.

        Blocks. Raises Unavailable with nothing kept.
        """
        report = None
        if self._prefix is not None:
            report = reader(bytes(self._prefix), reception, self._verdict)
        if wanted(self._verdict, report):
            assert self._file
            self._file.commit()
        else:
            self.abort()
            if report is None:
                return None
        if report is None:
            return Accepted(self.id, (reception,))
        own = () if report.replaces else (reception,)
        return Accepted(self.id, (*own, *report.records))

    def abort(self) -> None:
        """Forgets the message."""
        if self._file:
            self._file.abort()
            self._file = None
