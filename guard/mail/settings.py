"""Settings of `[log]` and `[queue."domain"]`."""

from __future__ import annotations

from dataclasses import dataclass

from guard.lib.fields import Duration, FilePath


@dataclass(frozen=True, kw_only=True)
class LogSettings:
    """Where records and events are written; None is nowhere."""

    records: FilePath | None = None
    events: FilePath | None = None
    collapse: Duration = 10.0


@dataclass(frozen=True, kw_only=True)
class QueueSettings:
    """How mail for one domain leaves."""

    routing_domain: str | None = None
