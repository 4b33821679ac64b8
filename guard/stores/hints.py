"""Which networks may be in a table: a look at one byte, where a query costs as much as a decision.

Never says that one is missing that is there. What was removed from the table may still be said to
be there, and so may one in eight of all others, where the table grew to its foreseen size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from guard.lib.networks import Network

FEWEST = 1 << 16
_SLOTS = 8  # a network


class Hints:
    """Room for as many more networks as there are `known`."""

    def __init__(self, known: Sequence[Network]) -> None:
        self._slots = bytearray(max(FEWEST, 1 << (2 * _SLOTS * len(known)).bit_length()))
        self._mask = len(self._slots) - 1
        self.add(known)

    def add(self, networks: Iterable[Network]) -> None:
        """These are in the table now."""
        slots, mask = self._slots, self._mask
        for network in networks:
            slots[hash(network) & mask] = 1

    def likely(self, networks: Iterable[Network]) -> list[Network]:
        """Those of `networks` that may be there; all others are not."""
        slots, mask = self._slots, self._mask
        return [network for network in networks if slots[hash(network) & mask]]
