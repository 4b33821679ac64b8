"""Whether a window that filled is a ban, and how long: what may speak against one, in order.

    banned already > the jail's ignoreip > protection > restraint > over by now

Asks the protection and the restraint; keeps nothing but a tally. A thousand may come at once while
they go on offending, so that what is the same for all of a jail is worked out before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from guard.events import Claim, Good, Offence, Overflow, Past
from guard.jails.bars import Bars
from guard.jails.escalation import ban_length
from guard.jails.jail import RECIDIVE, Jail
from guard.jails.reasons import reason
from guard.lib.networks import Network
from guard.lib.prefixes import Prefixes
from guard.protect.carve import blockable
from guard.protect.restraint import Restraint
from guard.roles import Protection


@dataclass(slots=True)
class Tally:
    """What became of events and overflows; for status and replay."""

    heard: int = 0
    counted: int = 0
    stale: int = 0
    already: int = 0
    ignored: int = 0
    protected: int = 0
    spared: int = 0
    late: int = 0
    claimed: int = 0


class _Rule:
    """What a jail says of each of its overflows; `said` is the last reason, of so many."""

    __slots__ = ("ignored", "jail", "said", "source", "what")

    def __init__(self, jail: Jail) -> None:
        self.jail, self.source = jail, f"jail:{jail.name}"
        self.ignored = Prefixes(jail.ignoreip) if jail.ignoreip else None
        self.what = "ban" if jail.filter in RECIDIVE else "rejection"
        self.said = (0, "")


class Judge:
    """Judges overflows of `jails`; what became of each is counted in `tally`."""

    def __init__(
        self,
        jails: Iterable[Jail],
        protection: Protection,
        restraint: Restraint | None,
        bars: Bars,
        chance: Callable[[], float],
        tally: Tally,
    ) -> None:
        self._rules = {jail.name: _Rule(jail) for jail in jails}
        self._protection, self._restraint, self._bars = protection, restraint, bars
        self._chance, self._tally = chance, tally

    def judge(
        self, overflow: Overflow, past: Past, good: Good | None, now: float | None
    ) -> Claim | None:
        """The claim that an overflow makes, unless something speaks against it."""
        name, network, time, rejections = overflow
        rule, tally = self._rules[name], self._tally
        if past.claims and any(c.source == rule.source and _holds(c, time) for c in past.claims):
            tally.already += 1
        elif rule.ignored is not None and rule.ignored.overlaps(network):
            tally.ignored += 1
        elif self._protection.protects(network) is not None and not self._in_part(network):
            tally.protected += 1
        elif self._restraint is not None and self._restraint.spares(
            overflow,
            good,
            window=rule.jail.window,
            weak=rule.jail.weak,
            ignoreself=rule.jail.ignoreself,
        ):
            tally.spared += 1
        else:
            until = self._until(rule.jail, time, past)
            if until is None or now is None or until > now:
                number, why = rule.said
                if number != rejections:
                    why = self._reason(overflow, rule)
                return Claim(network, rule.source, why, time, until)
            tally.late += 1
        return None

    def _in_part(self, network: Network) -> bool:
        """Whether some of a protected `network` may be blocked: the mirror carves it."""
        return not network.is_address and bool(blockable(network, self._protection))

    def _reason(self, overflow: Overflow, rule: _Rule) -> str:
        jail, number = rule.jail, overflow.rejections
        if number < jail.window.maxretry:
            suspicion = self._bars.suspicion(Offence(jail.name, overflow.network, overflow.time))
            return reason(overflow, jail.window, suspicion, what=rule.what)
        rule.said = number, reason(overflow, jail.window, what=rule.what)
        return rule.said[1]

    def _until(self, jail: Jail, time: float, past: Past) -> float | None:
        if not past.strikes:
            return None if jail.bantime is None else time + jail.bantime
        if jail.escalation is None or jail.escalation.overalljails:
            strikes = sum(past.strikes.values())
        else:
            strikes = past.strikes.get(f"jail:{jail.name}", 0)
        length = ban_length(jail.bantime, jail.escalation, strikes, self._chance)
        return None if length is None else time + length


def _holds(claim: Claim, time: float) -> bool:
    return claim.until is None or claim.until > time
