"""A jail as a value: what it counts, when that is enough, and for how long it then bans."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from guard.events import Kind, Window
from guard.lib.networks import Network

# The filters that read bans: fail2ban's own, and guard.conf in its first mode.
RECIDIVE = ("recidive", "guard", "guard[mode=ban]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalation:
    """fail2ban's bantime.increment: `length(bantime, strikes)` is the length of the next ban.

    `strikes` is how often the network was banned before: 0 at the first ban. `rndtime` adds up to
    so many seconds. `overalljails` counts the bans of every jail, not of this one alone.
    """

    length: Callable[[float, int], float]
    maxtime: float | None = None
    rndtime: float = 0.0
    overalljails: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Of an address whose score at the service `name` is at least `score`, fewer are enough."""

    name: str
    score: int
    maxretry: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Jail:
    """One section of jail.d, resolved. `bantime` None is for ever (fail2ban writes -1).

    `filter` is the name that text sources use; `kinds` is what structured rejections are matched
    by (the filter file's `kinds =`). `ignorecommand` is a program that says whom to spare, split
    without a shell. `weak` marks evidence that good standing outweighs. `conditions` lower the bar.
    """

    name: str
    filter: str
    kinds: frozenset[Kind] = frozenset()
    window: Window = Window(5, 600.0)
    bantime: float | None = 600.0
    escalation: Escalation | None = None
    ignoreip: tuple[Network, ...] = ()
    ignoreself: bool = True
    ignorecommand: str = ""
    weak: bool = False
    conditions: tuple[Condition, ...] = ()
