"""Finds the date in a line: fail2ban's default patterns, or those of the filter.

A date at the begin of the line goes before any other; of others the leftmost counts. (fail2ban
orders its patterns by how often each one was right, so that what it finds can depend on the lines
before. Here a line has one meaning; the pattern that was right last is only tried first.)
"""

from __future__ import annotations

import re
from datetime import timezone
from functools import cache
from typing import NamedTuple

from guard.filters.datepattern import DatePattern, compile_pattern
from guard.filters.rest import Expired, Rest

# jail.conf(5), "datepattern": what fail2ban 1.0 and 1.1 look for without one.
DEFAULTS = (
    r"%ExY(?P<_sep>[-/.])%m(?P=_sep)%d(?:T|  ?)%H:%M:%S(?:[.,]%f)?(?:\s*%z)?",
    r"(?:%a )?%b %d %k:%M:%S(?:\.%f)?(?: %ExY)?",
    r"(?:%a )?%b %d %ExY %k:%M:%S(?:\.%f)?",
    r"%d(?P<_sep>[-/])%m(?P=_sep)(?:%ExY|%Exy) %k:%M:%S",
    r"%d(?P<_sep>[-/])%b(?P=_sep)%ExY[ :]?%H:%M:%S(?:\.%f)?(?: %z)?",
    r"%m/%d/%ExY:%H:%M:%S",
    r"%m-%d-%ExY %k:%M:%S(?:\.%f)?",
    "EPOCH",
    r"{^LN-BEG}%H:%M:%S",
    r"^<%m/%d/%Exy@%H:%M:%S>",
    r"%Exy%Exm%Exd  ?%H:%M:%S",
    r"%b %d, %ExY %I:%M:%S %p",
    r"^%b-%d-%Exy %k:%M:%S",
    r"%ExY%Exm%Exd(?:T|  ?)%ExH%ExM%ExS(?:[.,]%f)?(?:\s*%z)?",
    r"(?:%Z )?(?:%a )?%b %d %k:%M:%S(?:\.%f)?(?: %ExY)?",
    r"(?:%z )?(?:%a )?%b %d %k:%M:%S(?:\.%f)?(?: %ExY)?",
    "TAI64N",
)
_BEGIN = "{^LN-BEG}"
_INSIDE = re.compile(r"(?<!\\)\{DATE\}", re.IGNORECASE)
_NOT_INSIDE = ("EPOCH", "TAI64N")
_ANCHORED = [text if text[0] in "{^" else _BEGIN + text for text in DEFAULTS]
_OURS = frozenset((*DEFAULTS, *_ANCHORED))


class Date(NamedTuple):
    """A date found: the text from `start` to `end` is cut out of the line.

    `time` is None where the pattern allows that there is no date and there is none.
    """

    start: int
    end: int
    time: float | None


class Dates:
    """Looks for dates by the patterns of one filter. `zone` is for dates that name none."""

    def __init__(self, datepattern: str | None = None, zone: timezone | None = None) -> None:
        self._patterns = patterns_of(datepattern or "")
        self._zone = zone
        self._last: DatePattern | None = None
        self._rests = {pattern: Rest() for pattern in self._patterns}

    @property
    def expired(self) -> int:
        """How many searches were too slow."""
        return sum(rest.expired for rest in self._rests.values())

    def find(self, line: str, now: float) -> Date | None:
        """The date of `line`; `now` tells the year of a date without one."""
        if self._last is not None and self._last.anchored:
            date = self._read(self._last, line, now)
            if date is not None:
                return date
        best: Date | None = None
        for pattern in self._patterns:
            date = self._read(pattern, line, now)
            if date is not None and (pattern.anchored or best is None or date.start < best.start):
                best, self._last = date, pattern
                if pattern.anchored:
                    break
        return best

    def _read(self, pattern: DatePattern, line: str, now: float) -> Date | None:
        rest = self._rests[pattern]
        if now < rest.until:
            return None
        try:
            found = pattern.find(line)
        except Expired:
            rest.strike(now)
            return None
        if found is None:
            return None
        start, end = found.span(1)
        if start == end:
            return Date(start, end, None)
        time = pattern.moment(found, now, self._zone)
        return None if time is None else Date(start, end, time)


@cache
def patterns_of(datepattern: str) -> tuple[DatePattern, ...]:
    """The patterns of a filter's `datepattern`, one a line; the defaults without one.

    Raises BadDatePattern.
    """
    found: dict[str, DatePattern] = {}
    for source in datepattern.split("\n") if datepattern.strip() else ["{DEFAULT}"]:
        for text in _expanded(source.strip()):
            found.setdefault(text, compile_pattern(text, trusted=text in _OURS))
    return tuple(found.values())


def _expanded(source: str) -> list[str]:
    """What `{DEFAULT}`, `{^LN-BEG}`, `{NONE}` and `{DATE}` stand for."""
    word = source.upper()
    if word == "{NONE}":
        return ["{UNB}^"]
    if word == _BEGIN:
        return _ANCHORED
    if word == "{DEFAULT}":
        return [*_ANCHORED, *(text for text in DEFAULTS if text[0] not in "{^")]
    if not _INSIDE.search(source):
        return [source] if source else []
    before, after = _INSIDE.split(source, maxsplit=1)
    return [
        before + text.removeprefix(_BEGIN).lstrip("^") + after
        for text in DEFAULTS
        if text not in _NOT_INSIDE
    ]
