"""How much is told at once: a few by themselves, then the rest together. Pure.

A message for each ban is what people want of ten bans and what nobody wants of ten thousand. Within
an interval there are at most `burst` messages; what comes beyond is held until the interval is over
and told as one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Choice = Literal["one", "all", "wait"]


@dataclass(frozen=True, slots=True)
class Pace:
    """The interval that runs: since when, how many messages it had, and whether some are held."""

    since: float = 0.0
    used: int = 0
    held: bool = False

    def choose(self, waiting: int, burst: int, interval: float, now: float) -> tuple[Choice, Pace]:
        """What to do about so many `waiting` notices, and the pace after that.

        An interval begins with the first notice behind the last one, and with a clock put back.
        """
        pace = self
        if not waiting:
            return "wait", pace
        if not pace.since <= now < pace.since + interval:
            pace = Pace(now, held=self.held)
            if pace.held:
                return ("all" if waiting > 1 else "one"), Pace(now, 1)
        if not pace.held and waiting <= burst - pace.used:
            return "one", replace(pace, used=pace.used + 1)
        return "wait", replace(pace, held=True)
