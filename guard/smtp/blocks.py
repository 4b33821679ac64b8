"""Who is blocked, as the listener asks it: a Firewall that turns connections away at the door.

For connections that get here all the same: there is no firewall, it is a dry run, or a proxy
stands in front. A mirror keeps it equal to the ledger, as it does with the kernel. A question is
one look in a dictionary for each length of prefix that is blocked; it may be asked in another
thread than the one that makes changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from guard.events import Block
from guard.lib.clock import Clock
from guard.lib.networks import Network

_SWEEP = 60.0  # seconds between two looks for what has ended
_BITS = {4: 32, 6: 128}
_Ends = dict[int, float | None]  # the bits of a prefix, and when its block ends
_Lengths = dict[tuple[int, int], _Ends]  # by IP version and length


class Blocks:
    """Networks with the times when their blocks end; None is never. Implements Firewall."""

    name = "listener"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: _Lengths = {}
        self._swept = 0.0
        # What a question needs: for each version, how far to shift an address and where to look.
        self._shifts: dict[int, tuple[tuple[int, _Ends], ...]] = {}

    def __call__(self, address: Network) -> bool:
        """Whether `address` is blocked now. For Server's `blocked`."""
        for shift, ends in self._shifts.get(address.version, ()):
            until = ends.get(address.value >> shift, 0.0)
            if until is None or (until and until > self._clock()):
                return True
        return False

    @property
    def held(self) -> int:
        """How many networks are held, those included that ended a moment ago."""
        return sum(map(len, self._held.values()))

    def open(self) -> None:
        """Nothing to open."""

    def apply(self, block: Sequence[Block], release: Sequence[Network], now: float) -> None:
        """Blocks and releases. What has ended blocks nobody, and is let go now and then."""
        for network in (*self._ended(now), *release):
            ends = self._held.get((network.version, network.length), {})
            ends.pop(_key(network), None)
        for network, until in block:
            ends = self._held.setdefault((network.version, network.length), {})
            ends[_key(network)] = until
        self._index(self._held)

    def _ended(self, now: float) -> list[Network]:
        if now < self._swept + _SWEEP:
            return []
        self._swept = now
        return [net for net, until in self._each() if until is not None and until <= now]

    def replace(self, blocks: Iterable[Block], now: float) -> None:
        """Makes `blocks` all that is blocked, at once."""
        held: _Lengths = {}
        for network, until in blocks:
            if until is None or until > now:
                held.setdefault((network.version, network.length), {})[_key(network)] = until
        self._index(held)

    def blocked(self, now: float) -> dict[Network, float | None]:
        """What is blocked now."""
        return {net: until for net, until in self._each() if until is None or until > now}

    def close(self, *, clear: bool = False) -> None:
        """Nothing to let go of."""

    def _each(self) -> Iterator[tuple[Network, float | None]]:
        for (version, length), ends in self._held.items():
            shift = _BITS[version] - length
            for key, until in ends.items():
                yield Network(version, key << shift, length), until

    def _index(self, held: _Lengths) -> None:
        shifts: dict[int, tuple[tuple[int, _Ends], ...]] = {}
        for (version, length), ends in sorted(held.items()):
            if ends:
                row = (_BITS[version] - length, ends)
                shifts[version] = (*shifts.get(version, ()), row)
        self._held, self._shifts = held, shifts


def _key(network: Network) -> int:
    return network.value >> (_BITS[network.version] - network.length)
