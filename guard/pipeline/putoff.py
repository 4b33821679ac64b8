"""Bans that are put off because nobody can say who is in good standing: the store is gone.

Everybody counts as good then, and is spared. When the store can be asked again, those who are not
good after all are banned from the rejection that would have banned them. Kept in memory; whoever
asks the counters not to settle meanwhile hears of what the store itself had told after a crash.
"""

from __future__ import annotations

from guard.events import Good, Overflow
from guard.lib.networks import Network
from guard.protect.restraint import Restraint, known

MOST = 100_000


class PutOff:
    """One overflow for each jail and network, the first; no more than `most`."""

    def __init__(self, restraint: Restraint | None, most: int = MOST) -> None:
        self._restraint, self._most = restraint, most
        self._held: dict[tuple[str, Network], Overflow] = {}

    def __len__(self) -> int:
        """How many wait."""
        return len(self._held)

    def spared(self, overflow: Overflow, good: Good | None) -> None:
        """`overflow` made no claim; it waits if `good` is nothing that is known."""
        if good is None or known(good, overflow.time) or len(self._held) >= self._most:
            return
        self._held.setdefault((overflow.jail, overflow.network), overflow)

    def due(self) -> list[Overflow]:
        """Takes out all that wait and returns those of nobody good; none while nobody knows."""
        if not self._held or self._restraint is None:
            return []
        last = max(overflow.time for overflow in self._held.values())
        goods = self._restraint.goods(list({network for _, network in self._held}), last)
        if not all(known(good, last) for good in goods.values()):
            return []
        held, self._held = self._held, {}
        return [overflow for overflow in held.values() if overflow.network not in goods]

    def forget(self, *networks: Network) -> None:
        """Nothing waits of `networks`."""
        gone = set(networks)
        self._held = {key: held for key, held in self._held.items() if key[1] not in gone}
