"""The reason of a jail's claim, in words that only Guard writes; and what can be read from them.

The reason stays with a claim wherever it goes (ledger, event log, export), so that it is also where
one sees whether rejections alone were enough, or the word of somebody else lowered the bar.
"""

from __future__ import annotations

import re
from functools import lru_cache

from guard.events import Claim, Overflow, Suspicion, Window
from guard.lib.durations import format_duration

_FEWER = ", fewer are enough: "
_SEEN = re.compile(r"\d+ rejections? within [0-9a-z]+")


def reason(
    overflow: Overflow, window: Window, suspicion: Suspicion | None = None, *, what: str
) -> str:
    """`5 rejections within 10m`; with why fewer than the jail asks for were enough."""
    number = overflow.rejections
    text = _counted(number, what, window.findtime)
    if number >= window.maxretry:
        return text
    return text + _FEWER + (suspicion.why if suspicion is not None else "known to others")


@lru_cache(maxsize=1024)
def _counted(number: int, what: str, findtime: float) -> str:
    """Of a thousand offenders at once nearly all did the same."""
    return f"{number} {what}{'s' if number != 1 else ''} within {format_duration(findtime)}"


def seen_here(claim: Claim) -> bool:
    """Whether a jail made `claim` for rejections counted here, as many as the jail asks for.

    False for lists, for what was done by hand, for bans on account of other bans, and where a list
    or a score lowered the bar: whoever told those who keep scores of these would go in a circle.
    """
    return claim.source.startswith("jail:") and _SEEN.fullmatch(claim.reason) is not None
