"""Settings of `[report]`: who is told of the bans of this host's jails."""

from __future__ import annotations

from dataclasses import dataclass

from guard.reporters.abuseipdb.settings import AbuseIpdbReportSettings


@dataclass(frozen=True, kw_only=True)
class ReportSettings:
    """Nobody is told unless their section is there."""

    abuseipdb: AbuseIpdbReportSettings | None = None
