"""Moments as text: RFC 3339 for records, RFC 5322 for headers. Always UTC, never a locale."""

from __future__ import annotations

from time import gmtime

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def rfc3339(seconds: float) -> str:
    """`2025-09-12T11:08:01.440526Z`; whole seconds have no fraction, as KumoMTA writes them."""
    whole, micros = divmod(round(seconds * 1_000_000), 1_000_000)
    t = gmtime(whole)
    fraction = f".{micros:06d}" if micros else ""
    return (
        f"{t.tm_year:04d}-{t.tm_mon:02d}-{t.tm_mday:02d}"
        f"T{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d}{fraction}Z"
    )


def rfc5322(seconds: float) -> str:
    """`Fri, 12 Sep 2025 11:08:01 +0000` (RFC 5322, 3.3)."""
    t = gmtime(seconds // 1)
    return (
        f"{_DAYS[t.tm_wday]}, {t.tm_mday} {_MONTHS[t.tm_mon - 1]} {t.tm_year:04d} "
        f"{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d} +0000"
    )
