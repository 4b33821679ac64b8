"""Lengths of time as operators write them: `600`, `10m`, `1d12h`, `-1` for ever.

The grammar is fail2ban's (jail.conf(5), "time abbreviation format"): `m` is minutes, `mo` months.
"""

import re

_UNITS = {
    "": 1.0,
    "ms": 0.001,
    **dict.fromkeys(("s", "ss", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "mm", "min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hh", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "dd", "day", "days"), 86400.0),
    **dict.fromkeys(("w", "ww", "week", "weeks"), 7 * 86400.0),
    **dict.fromkeys(("mo", "mon", "mons", "month", "months"), 365.25 * 86400 / 12),
    **dict.fromkeys(("y", "ya", "yr", "year", "years"), 365.25 * 86400),
}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)", re.ASCII)
_NAMES = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def parse_duration(value: object) -> float:
    """Seconds in `value`, a number or text such as `1d12h`; -1 (for ever) is returned as it is.

    Raises ValueError, with what was read, when it is not a length of time.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f'{value!r} is not a length of time such as 600, "10m" or "1d12h"')
    text = str(value).strip().lower()
    if text == "-1":
        return -1.0
    seconds, at = 0.0, 0
    while at < len(text):
        part = _PART.match(text, at)
        if part is None or part[2] not in _UNITS:
            break
        seconds += float(part[1]) * _UNITS[part[2]]
        at = part.end()
    if not text or at < len(text) or seconds == float("inf"):
        raise ValueError(f'{value!r} is not a length of time such as 600, "10m" or "1d12h"')
    return seconds


def format_duration(seconds: float | None) -> str:
    """`seconds` in the two largest units that it fills: `1d2h`, `9m58s`; None is `for ever`."""
    if seconds is None:
        return "for ever"
    rest, parts = max(0, int(seconds)), []
    for size, name in _NAMES:
        if rest >= size:
            parts.append(f"{rest // size}{name}")
            rest %= size
    return "".join(parts[:2]) or "0s"
