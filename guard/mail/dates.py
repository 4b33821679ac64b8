"""Dates in mail headers, RFC 5322 section 3.3 with the obsolete forms of 4.3. Pure.

As lenient as KumoMTA: two-digit years, alphabetic zones (Amazon SES writes `UTC`), comments. As
strict too: a weekday that contradicts its date makes the date wrong.
"""

from __future__ import annotations

import re
from datetime import date

_MONTHS = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}
_DAYS = {n: i for i, n in enumerate(("mon", "tue", "wed", "thu", "fri", "sat", "sun"))}
# RFC 5322 4.3; every other alphabetic zone is "-0000": the time is UTC and the place unknown.
_ZONES = {"edt": -4, "est": -5, "cdt": -5, "cst": -6, "mdt": -6, "mst": -7, "pdt": -7, "pst": -8}
_DATE = re.compile(
    r"(?:(?P<weekday>[a-z]{3}) ?, ?)?(?P<day>\d{1,2}) (?P<month>[a-z]{3}) (?P<year>\d{2,4}) "
    r"(?P<hour>\d{2}) ?: ?(?P<minute>\d{2})(?: ?: ?(?P<second>\d{2}))?"
    r"(?: (?P<zone>[+-]\d{4}|[a-z]{1,5}))",
    re.ASCII,
)
_EPOCH = date(1970, 1, 1).toordinal()
_LONGEST = 200


def parse_date(text: str) -> int | None:
    """Seconds since the epoch, or None when `text` is not a date."""
    if len(text) > _LONGEST:
        return None
    found = _DATE.fullmatch(" ".join(_without_comments(text).lower().split()))
    if found is None:
        return None
    try:
        day = date(_year(found["year"]), _MONTHS[found["month"]], int(found["day"]))
        weekday = _DAYS[found["weekday"]] if found["weekday"] else day.weekday()
    except (KeyError, ValueError):
        return None
    hour, minute, second = int(found["hour"]), int(found["minute"]), int(found["second"] or 0)
    if weekday != day.weekday() or hour > 23 or minute > 59 or second > 60:
        return None
    clock = hour * 3600 + minute * 60 + second
    return (day.toordinal() - _EPOCH) * 86400 + clock - _offset(found["zone"])


def _year(digits: str) -> int:
    """RFC 5322 4.3: two digits are 1950 to 2049, three count from 1900."""
    year = int(digits)
    if len(digits) == 2:
        return year + (2000 if year < 50 else 1900)
    return year + 1900 if len(digits) == 3 else year


def _offset(zone: str) -> int:
    if zone[0] not in "+-":
        return _ZONES.get(zone, 0) * 3600
    seconds = int(zone[1:3]) * 3600 + int(zone[3:]) * 60
    return -seconds if zone[0] == "-" else seconds


def _without_comments(text: str) -> str:
    """RFC 5322 3.2.2: parentheses nest, and count as a blank."""
    depth, kept = 0, []
    for char in text:
        depth += char == "("
        kept.append(" " if depth else char)
        depth -= char == ")" and depth > 0
    return "".join(kept)
