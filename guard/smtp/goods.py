"""Who is in good standing, as the tarpit asks: whoever is is not held back.

The store that knows is asked beside the sessions, so that nobody waits for it; until it has
answered, within a second, an address is not held. What waits and what is known is bounded.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from guard.lib.networks import Network

EVERY = 0.5  # seconds
KEPT = 600.0  # seconds until an address is asked for again
MOST_WAITING, MOST_KNOWN = 1000, 20_000


class Goods:
    """Called on the event loop; `waiting` and `learn` are for one other thread."""

    def __init__(self) -> None:
        self._waiting: dict[Network, None] = {}
        self._known: dict[Network, tuple[float, bool]] = {}

    def __call__(self, address: Network, now: float) -> bool:
        """Whether `address` is in good standing, as far as is known; if nothing is, yes."""
        since, good = self._known.get(address, (now - KEPT, True))
        if not since <= now < since + KEPT and len(self._waiting) < MOST_WAITING:
            self._waiting[address] = None
        return good

    def waiting(self) -> list[Network]:
        """Who is to be asked for."""
        some = []
        while self._waiting:
            some.append(self._waiting.popitem()[0])
        return some

    def learn(self, asked: Sequence[Network], good: Collection[Network], now: float) -> None:
        """Of `asked` those in `good` are in good standing, the others are not."""
        if len(self._known) + len(asked) > MOST_KNOWN:
            self._known = {}
        for address in asked:
            self._known[address] = now, address in good
