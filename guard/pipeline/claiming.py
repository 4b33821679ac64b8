"""What windows that filled mean: overflows -> claims, those that the ledger then makes.

What ledger and standing know of all of them is asked once; they are decided some at a time, so that
whoever tells the kernel hears of the first before the last are decided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from guard.events import Claim, Good, Overflow, Past
from guard.lib.networks import Network
from guard.pipeline.judge import Judge, Tally
from guard.pipeline.putoff import PutOff
from guard.protect.restraint import Restraint
from guard.roles import Ledger


class Known(NamedTuple):
    """What is known of the networks of some overflows, the last of which was at `last`.

    `repeats` is whether one network has several.
    """

    pasts: dict[Network, Past]
    goods: Mapping[Network, Good]
    last: float
    repeats: bool


@dataclass(slots=True)
class Decided:
    """What is wanted, what of it is the first claim on its network, and what was made before."""

    wanted: list[Claim] = field(default_factory=list)
    first: list[Claim] = field(default_factory=list)
    before: dict[Claim, None] = field(default_factory=dict)

    def add(self, other: Decided) -> None:
        """Takes up what was decided next; `first` has been told."""
        self.wanted += other.wanted
        self.before |= other.before


class Claiming:
    """Asks `judge`; whom nobody can judge yet is left to `put_off`. Raises what ledger and
    standing raise.
    """

    def __init__(
        self,
        judge: Judge,
        ledger: Ledger,
        restraint: Restraint | None,
        put_off: PutOff,
        tally: Tally,
    ) -> None:
        self._judge, self._ledger, self._restraint = judge.judge, ledger, restraint
        self._put_off, self._tally = put_off, tally

    def known(self, overflows: Sequence[Overflow]) -> Known:
        """What ledger and standing say of all who may be claimed."""
        networks = list(dict.fromkeys([overflow.network for overflow in overflows]))
        times = [overflow.time for overflow in overflows]
        first, last = min(times), max(times)
        pasts = dict(zip(networks, self._ledger.past(networks, first), strict=True))
        goods: Mapping[Network, Good] = {}
        if self._restraint is not None:
            self._restraint.meet(networks)
            goods = self._restraint.goods(networks, last)
        return Known(pasts, goods, last, len(networks) < len(overflows))

    def decide(
        self, overflows: Sequence[Overflow], known: Known, now: float | None, *, again: bool
    ) -> Decided:
        """The claims that those overflows mean; of a batch `again` those made as well."""
        decided, judge = Decided(), self._judge
        pasts, goods = known.pasts, known.goods
        for overflow in overflows:
            network = overflow.network
            past = pasts[network]
            if again and (before := _claimed(overflow, past)) is not None:
                decided.before[before] = None
                continue
            good = goods.get(network) if goods else None
            due = judge(overflow, past, good, now)
            if due is None:
                self._put_off.spared(overflow, good)
                continue
            decided.wanted.append(due)
            if not past.claims:
                decided.first.append(due)
            if known.repeats:  # the next one may be of the same network
                strikes = {**past.strikes, due.source: past.strikes.get(due.source, 0) + 1}
                pasts[network] = Past((*past.claims, due), strikes)
        return decided

    def make(self, wanted: Sequence[Claim], now: float) -> list[Claim]:
        """Has the ledger claim what was decided; what came of it that nobody claimed before."""
        if not wanted:
            return []
        made = self._ledger.claim(wanted, now)
        # Where another host was faster its claim stands, and is not ours to tell of.
        new = [m for m, asked in zip(made, wanted, strict=True) if m.since == asked.since]
        self._tally.already += len(wanted) - len(new)
        self._tally.claimed += len(new)
        return new


def _claimed(overflow: Overflow, past: Past) -> Claim | None:
    """The claim that this very overflow led to."""
    source = f"jail:{overflow.jail}"
    found = (c for c in past.claims if c.source == source and c.since == overflow.time)
    return next(found, None)
