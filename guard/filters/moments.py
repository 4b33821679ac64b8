"""Fields of a date, as logs write them, into seconds since the epoch; pure but for the local zone.

A date without a zone is local time, or in the zone that the filter is told; one without a year
is of this year, or of the last if that would be more than a day ahead; a time alone is of today, or
of yesterday if that would be ahead. Fractions of a second are dropped, as fail2ban drops them.
"""

from __future__ import annotations

import time
from calendar import timegm
from datetime import datetime, timedelta, timezone

from guard.filters.zones import offset_of

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LONG_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
LONG_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)  # fmt: skip


def seconds(text: str, *, long: bool) -> float:
    """An epoch; with `long`, 13 digits are milliseconds and 16 microseconds."""
    if long and len(text) >= 16 and "." not in text:
        return float(text) / 1_000_000
    if long and len(text) >= 13:
        return float(text) / 1_000
    return float(text)


def moment(fields: dict[str, str], now: float, zone: timezone | None) -> float | None:
    """The moment that the fields of a date name. Raises ValueError where there is none.

    `fields` are by strptime's letters; `now` tells what is left out, `zone` (None: local time) what
    a date without one means.
    """
    offset = _offset(fields, zone)
    here = datetime.fromtimestamp(now, offset)
    year = _year(fields)
    month, day = _month(fields), int(fields["d"]) if "d" in fields else None
    if "j" in fields and (month is None or day is None):
        start = datetime(year or here.year, 1, 1) + timedelta(days=int(fields["j"]) - 1)  # noqa: DTZ001
        month, day = start.month, start.day
    today = month is None and day is None
    named = datetime(
        year or here.year,
        month or (here.month if today else 1),
        day or (here.day if today else 1),
        _hour(fields),
        int(fields.get("M", 0)),
        min(int(fields.get("S", 0)), 59),
        tzinfo=offset,
    )
    if today and named > here:
        named -= timedelta(days=1)
    elif year is None and named > here + timedelta(days=1):
        named = named.replace(year=here.year - 1)
    if offset is None:
        return time.mktime(named.timetuple())
    return float(timegm(named.utctimetuple()))


def _year(fields: dict[str, str]) -> int | None:
    if "Y" in fields:
        return int(fields["Y"])
    return 2000 + int(fields["y"]) if "y" in fields else None


def _month(fields: dict[str, str]) -> int | None:
    if "m" in fields:
        return int(fields["m"])
    if "b" in fields:
        return MONTHS.index(fields["b"].lower()) + 1
    return LONG_MONTHS.index(fields["B"].lower()) + 1 if "B" in fields else None


def _hour(fields: dict[str, str]) -> int:
    if "I" not in fields:
        return int(fields.get("H", 0))
    return int(fields["I"]) % 12 + (12 if fields.get("p", "").lower() == "pm" else 0)


def _offset(fields: dict[str, str], zone: timezone | None) -> timezone | None:
    """The zone that the date names, else `zone`; None is local time."""
    named = fields.get("z") or fields.get("Z")
    return offset_of(named) if named else zone
