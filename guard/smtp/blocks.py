"""Who is blocked, as the listener asks it: a Firewall that turns connections away at the door.

For connections that get here all the same: there is no firewall, it is a dry run, or a proxy
stands in front. A mirror keeps it equal to the ledger, as it does with the kernel. A question is
one look in a dictionary for each length of prefix; it may be asked in another thread than the one
that makes changes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from guard.events import Block
from guard.lib.clock import Clock
from guard.lib.networks import Network

_SWEEP = 60.0  # seconds between two looks for what has ended
Ends = dict[Network, float | None]


class Blocks:
    """Networks with the times when their blocks end; None is never. Implements Firewall."""

    name = "listener"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ends: Ends = {}
        self._swept = 0.0
        self._held: Counter[tuple[int, int]] = Counter()
        self._lengths: dict[int, tuple[int, ...]] = {}

    def __call__(self, address: Network) -> bool:
        """Whether `address` is blocked now. For Server's `blocked`."""
        ends = self._ends
        for length in self._lengths.get(address.version, ()):
            until = ends.get(address.supernet(length), 0.0)
            if until is None or until > self._clock():
                return True
        return False

    def open(self) -> None:
        """Nothing to open."""

    def apply(self, block: Sequence[Block], release: Sequence[Network], now: float) -> None:
        """Blocks and releases. What has ended blocks nobody, and is let go now and then."""
        for network in (*self._ended(now), *release):
            if network in self._ends:
                del self._ends[network]
                self._held[network.version, network.length] -= 1
        for network, until in block:
            if network not in self._ends:
                self._held[network.version, network.length] += 1
            self._ends[network] = until
        self._count()

    def _ended(self, now: float) -> list[Network]:
        if now < self._swept + _SWEEP:
            return []
        self._swept = now
        return [net for net, until in self._ends.items() if until is not None and until <= now]

    def replace(self, blocks: Iterable[Block], now: float) -> None:
        """Makes `blocks` all that is blocked."""
        ends = {net: until for net, until in blocks if until is None or until > now}
        self._held = Counter((net.version, net.length) for net in ends)
        # Lengths that are looked at in vain do no harm; one that is missing would.
        self._lengths = {4: tuple(range(33)), 6: tuple(range(129))}
        self._ends = ends
        self._count()

    def blocked(self, now: float) -> Ends:
        """What is blocked now."""
        return {net: until for net, until in self._ends.items() if until is None or until > now}

    def close(self, *, clear: bool = False) -> None:
        """Nothing to let go of."""

    def _count(self) -> None:
        lengths: dict[int, tuple[int, ...]] = {}
        for (version, length), count in sorted(self._held.items()):
            if count:
                lengths[version] = (*lengths.get(version, ()), length)
        self._lengths = lengths
