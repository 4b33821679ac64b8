"""How long the next ban lasts: fail2ban's `bantime.increment` family (jail.conf(5)) as values.

As in fail2ban the first ban is the jail's `bantime` as it stands; factor, formula, multipliers,
`maxtime` and `rndtime` act from the second one on. A ban for ever is not escalated.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from guard.jails.formula import Ban, parse_formula
from guard.jails.jail import Escalation

DEFAULT_FORMULA = "ban.Time * (1<<(ban.Count if ban.Count<20 else 20)) * banFactor"
_TRIED_COUNTS = (1, 2, 3, 10, 20, 50)

Length = Callable[[float, int], float]


def length_of(*, formula: str = "", factor: str = "", multipliers: str = "") -> Length:
    """What a jail file says as `Escalation.length`; an empty text is an option not set.

    `multipliers` win over `formula`, and their last one repeats. Raises ValueError.
    """
    try:
        times = parse_formula(factor or "1")(Ban(0.0, 0))
    except ArithmeticError as error:
        raise ValueError(f"{factor!r} is not a number: {error}") from None
    if multipliers.strip():
        return _by_multipliers(multipliers, times)
    formed = parse_formula(formula or DEFAULT_FORMULA)

    def length(bantime: float, strikes: int) -> float:
        try:
            found = formed(Ban(bantime, strikes, times))
        except OverflowError:
            return math.inf
        return bantime if math.isnan(found) else max(bantime, float(found))

    for strikes in _TRIED_COUNTS:
        try:
            length(600.0, strikes)
        except (ArithmeticError, ValueError) as error:
            raise ValueError(f"{formula!r} fails at ban.Count {strikes}: {error}") from None
    return _never_failing(length)


def _never_failing(length: Length) -> Length:
    """A formula that fails at a count which was not tried must not stop a ban."""

    def safe(bantime: float, strikes: int) -> float:
        try:
            return length(bantime, strikes)
        except (ArithmeticError, ValueError):
            return bantime

    return safe


def _by_multipliers(text: str, factor: float) -> Length:
    try:
        steps = tuple(int(word) for word in text.split())
    except ValueError:
        raise ValueError(f"{text!r} are not whole numbers separated by blanks") from None
    if min(steps) < 0 or factor < 0:
        raise ValueError(f"{text!r} with factor {factor} makes bans of negative length")

    def length(bantime: float, strikes: int) -> float:
        return bantime * factor * steps[min(strikes, len(steps) - 1)]

    return length


def ban_length(
    bantime: float | None, escalation: Escalation | None, strikes: int, chance: Callable[[], float]
) -> float | None:
    """Seconds that the ban after `strikes` earlier ones lasts; None is for ever.

    `chance` gives a number in [0, 1) that scales `rndtime`; it is asked only where there is one.
    """
    if bantime is None or escalation is None or strikes < 1:
        return bantime
    length = escalation.length(bantime, strikes)
    if escalation.maxtime is not None:
        length = min(length, escalation.maxtime)
    if escalation.rndtime:
        length += chance() * escalation.rndtime
    return length if math.isfinite(length) else None
