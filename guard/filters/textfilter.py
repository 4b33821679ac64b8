"""A fail2ban filter at work: a line of a text log in, an offender out.

The order is fail2ban's (filter.py, findFailure): the date is found and cut out of the line,
`prefregex` has to match and may give its content for the rest, the first failregex that matches
counts unless an ignoreregex does. An offender is an address that the expression captured; a host
name is none, because whoever owns a name says where it points.

The lines are strangers' work. A line is cut at MAX_LINE characters, each search has a deadline, and
an expression that runs into it rests for a while (rest.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timezone

import regex

from guard.filters.dates import Dates
from guard.filters.expressions import SKIPPED, Expression, Groups, compile_expression
from guard.filters.multiline import LineBuffer
from guard.filters.rest import Expired, Rest
from guard.filters.sessions import Sessions
from guard.lib.networks import parse_address

MAX_LINE = 16_384
IDENTITIES = ("fid", "ip4", "ip6", "dns")
Found = regex.Match[str]


@dataclass(frozen=True, slots=True)
class Match:
    """An offender in a line. `expression` is the index of the failregex that found it.

    `address` is canonical text, empty where the expression captured a host name or an id that is
    no address; `host` is what it captured. `user` is the account that was tried, or empty.
    """

    time: float
    address: str
    host: str
    expression: int
    user: str = ""


@dataclass(slots=True)
class Tally:
    """How often each expression matched, was too slow, and what became of the lines."""

    lines: int = 0
    matched: int = 0
    ignored: int = 0
    undated: int = 0
    matches: list[int] = field(default_factory=list)
    expired: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Watched:
    """An expression and when it may be used again."""

    expression: Expression
    rest: Rest = field(default_factory=Rest)

    def find(self, text: str, now: float) -> Found | None:
        if now < self.rest.until:
            return None
        try:
            return self.expression.find(text)
        except Expired:
            self.rest.strike(now)
            return None

    def search(self, text: str, now: float) -> Groups | None:
        found = self.find(text, now)
        return None if found is None else self.expression.named(found)


class Filter:
    """One filter, with what it remembers of the lines before: sessions, and the last date."""

    def __init__(
        self,
        name: str,
        failregex: Sequence[str],
        *,
        ignoreregex: Sequence[str] = (),
        prefregex: str = "",
        datepattern: str | None = None,
        zone: timezone | None = None,
        maxlines: int = 1,
    ) -> None:
        """Raises BadExpression or BadDatePattern."""
        self.name = name
        several = maxlines > 1
        self._buffer = LineBuffer(maxlines) if several else None
        self._fail = [_Watched(compile_expression(x, multiline=several)) for x in failregex]
        self._ignore = [_Watched(compile_expression(text)) for text in ignoreregex]
        self._prefix = _Watched(compile_expression(prefregex)) if prefregex else None
        self._dates = Dates(datepattern, zone)
        self._sessions = Sessions()
        self._last: tuple[float, float] | None = None
        self.tally = Tally(matches=[0] * len(self._fail), expired=[0] * len(self._fail))

    @property
    def expressions(self) -> list[str]:
        """The failregexes as the filter file says them."""
        return [watched.expression.source for watched in self._fail]

    def match(self, line: bytes, now: float) -> Match | None:
        """The offender in `line`, a line without its end, which is read at `now`."""
        return self.match_text(line.rstrip(b"\r\n").decode("utf-8", "replace"), now)

    def match_text(self, line: str, now: float, time: float | None = None) -> Match | None:
        """The same for text; `time` is given where it is known without the line (a journal)."""
        self.tally.lines += 1
        text = line[:MAX_LINE]
        if time is None:
            text, time = self._dated(text, now)
        groups: Groups = {}
        text = f"{text}\n" if self._buffer is None else self._buffer.add(text)
        if self._prefix is not None:
            found = self._prefix.search(text, now)
            if found is None:
                return None
            content = found.pop("content", None)
            groups, text = found, f"{content}\n" if content else text
        match = self._first(text, groups, now, time)
        if match is not None:
            self.tally.matched += 1
        return match

    def _dated(self, text: str, now: float) -> tuple[str, float]:
        """The line without its date, and the time: its own, the last one's, or now."""
        date = self._dates.find(text, now)
        if date is not None:
            text = text[: date.start] + text[date.end :]
        if date is not None and date.time is not None:
            self._last = (date.time, now)
            return text, date.time
        self.tally.undated += 1
        if self._last is not None and now - self._last[1] < 60:
            return text, self._last[0]
        return text, now

    def _first(self, text: str, groups: Groups, now: float, time: float) -> Match | None:
        """What the first failregex that matches says."""
        for index, watched in enumerate(self._fail):
            match = watched.find(text, now)
            self.tally.expired[index] = watched.rest.expired
            if match is None:
                continue
            self.tally.matches[index] += 1
            found = watched.expression.named(match)
            if self._buffer is not None:
                skipped = (part for name, part in found.items() if name.startswith(SKIPPED))
                self._buffer.use(text, *match.span(), filter(None, skipped))
            if any(ignore.search(text, now) is not None for ignore in self._ignore):
                self.tally.ignored += 1
                return None
            said = {name: text for name, text in found.items() if text is not None}
            merged = self._sessions.merge({**groups, **said}, now)
            return None if merged is None else _offender(merged, time, index)
        return None


def _offender(groups: Groups, time: float, index: int) -> Match | None:
    host = next((text for name in IDENTITIES if (text := groups.get(name))), "")
    if not host:
        return None
    named = groups.get("ip4") or groups.get("ip6") or host
    try:
        address = str(parse_address(named))
    except ValueError:
        address = ""
    return Match(time, address, host, index, groups.get("user") or "")
