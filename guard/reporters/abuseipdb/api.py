"""AbuseIPDB's API, version 2, as far as reports go (docs.abuseipdb.com).

Reads the key anew for each call, so that a new one counts at once. Judges nothing, retries nothing.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from typing import NamedTuple
from urllib.parse import urlencode

from guard.lib.secrets import Secret, read_secret
from guard.lib.webcall import Answer, Call, call
from guard.reporters.abuseipdb.settings import AbuseIpdbReportSettings

MOST_LINES = 10_000
MOST_BYTES = 1_900_000  # they say 2 MB
_BOUNDARY = "guard-3f1c7a52e0c94d0a"
_COLUMNS = ("IP", "Categories", "ReportDate", "Comment")


class Line(NamedTuple):
    """One report in AbuseIPDB's own terms."""

    address: str
    categories: str
    timestamp: str
    comment: str


class Api:
    """The three calls, each with a key of `key()`. They raise CallFailed."""

    def __init__(
        self, settings: AbuseIpdbReportSettings, *, calls: Callable[[Call], Answer] = call
    ) -> None:
        self._settings, self._calls = settings, calls

    def key(self) -> Secret:
        """The key as it is now. Raises BadSecret."""
        return read_secret(self._settings.key_file, self._settings.credential)

    def report(self, key: Secret, line: Line) -> Answer:
        """POST report."""
        form = {
            "ip": line.address,
            "categories": line.categories,
            "comment": line.comment,
            "timestamp": line.timestamp,
        }
        kind = "application/x-www-form-urlencoded"
        return self._ask(key, "POST", "report", body=urlencode(form).encode(), kind=kind)

    def bulk_report(self, key: Secret, data: bytes) -> Answer:
        """POST bulk-report, with what `table` made."""
        head = (
            f"--{_BOUNDARY}\r\nContent-Disposition: form-data; "
            'name="csv"; filename="report.csv"\r\nContent-Type: text/csv\r\n\r\n'
        )
        body = head.encode() + data + f"\r\n--{_BOUNDARY}--\r\n".encode()
        kind = f"multipart/form-data; boundary={_BOUNDARY}"
        return self._ask(key, "POST", "bulk-report", body=body, kind=kind)

    def clear(self, key: Secret, address: str) -> Answer:
        """DELETE clear-address."""
        return self._ask(key, "DELETE", "clear-address", query={"ipAddress": address})

    def _ask(
        self,
        key: Secret,
        method: str,
        endpoint: str,
        *,
        query: dict[str, str] | None = None,
        body: bytes | None = None,
        kind: str = "",
    ) -> Answer:
        settings = self._settings
        asked = Call(
            url=f"{settings.url.rstrip('/')}/{endpoint}",
            method=method,
            query=query or {},
            secrets={"Key": key},
            body=body,
            kind=kind,
            timeout=settings.timeout,
            contact=settings.contact,
            proxy=settings.proxy,
        )
        return self._calls(asked)


def table(lines: Sequence[Line], most: int = MOST_LINES) -> tuple[bytes, int]:
    """As many of `lines` as one file may have, as CSV, and how many these are."""
    text, rows = io.StringIO(), 0
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for line in lines[:most]:
        before = text.tell()
        writer.writerow((line.address, line.categories, line.timestamp, line.comment))
        if text.tell() > MOST_BYTES:
            text.truncate(before)
            break
        rows += 1
    return text.getvalue().encode("ascii"), rows
