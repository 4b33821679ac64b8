"""Time zones as logs write them: `Z`, `+0200`, `+02:00`, `CEST`, `CET+0100`.

An abbreviation is a fixed offset here, without summer time, as in fail2ban. Where several zones
share one, the one that mail servers are most likely in counts (CST, EST, IST).
"""

from __future__ import annotations

import re
from datetime import timedelta, timezone

_ZONE = re.compile(r"(?P<name>[A-Z]*)(?P<sign>[+-])?(?P<hours>\d\d)?(?::?(?P<minutes>\d\d))?")
_HOURS = {
    -12.0: "Y",
    -11.0: "X SST",
    -10.0: "W HST HAST",
    -9.0: "V AKST",
    -8.0: "U PST PT AKDT",
    -7.0: "T MST PDT",
    -6.0: "S CST MDT",
    -5.0: "R EST ET CDT COT PET",
    -4.0: "Q AST EDT BOT CLT",
    -3.5: "NST",
    -3.0: "P ADT ART BRT CLST UYT",
    -2.5: "NDT",
    -2.0: "O BRST",
    -1.0: "N AZOT CVT",
    0.0: "Z UTC GMT WET",
    1.0: "A CET WEST WAT",
    2.0: "B EET CEST CAT SAST",
    3.0: "C MSK EEST EAT",
    3.5: "IRST",
    4.0: "D GST MSD AMT AZT",
    4.5: "AFT IRDT",
    5.0: "E PKT UZT YEKT",
    5.5: "IST",
    5.75: "NPT",
    6.0: "F OMST BIOT",
    6.5: "MMT",
    7.0: "G THA ICT WIB",
    8.0: "H AWST HKT MYT SGT PHT",
    9.0: "I JST KST",
    9.5: "ACST",
    10.0: "K AEST VLAT",
    10.5: "ACDT",
    11.0: "L AEDT SBT",
    12.0: "M NZST FJT",
    13.0: "NZDT",
}
_OFFSETS = {name: hours for hours, names in _HOURS.items() for name in names.split()}


def offset_of(text: str) -> timezone:
    """The zone that `text` names. Raises ValueError where it names none."""
    found = _ZONE.fullmatch(text.upper())
    if found is None or (found["sign"] is None) != (found["hours"] is None) or not text:
        raise ValueError(f"{text!r} is not a time zone")
    if found["name"] and found["name"] not in _OFFSETS:
        raise ValueError(f"{text!r} is not a time zone")
    minutes = _OFFSETS.get(found["name"], 0.0) * 60
    if found["sign"]:
        shift = int(found["hours"]) * 60 + int(found["minutes"] or 0)
        minutes += shift if found["sign"] == "+" else -shift
    return timezone(timedelta(minutes=minutes))
