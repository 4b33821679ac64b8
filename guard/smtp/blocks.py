"""Who is blocked, as the listener asks it: one look in a dictionary for each length of prefix.

For connections that get here all the same: the firewall is a dry run, or a proxy stands in front.
Whoever follows the ledger calls `replace` with all that is blocked; a reader meanwhile sees the
old or the new, never half of both.
"""

from __future__ import annotations

from collections.abc import Mapping

from guard.lib.clock import Clock
from guard.lib.networks import Network


class Blocks:
    """Networks with the times when their blocks end; None is never."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: tuple[Mapping[Network, float | None], dict[int, list[int]]] = ({}, {})

    def replace(self, ends: Mapping[Network, float | None]) -> None:
        """Makes `ends` all that is blocked; it must not change any more."""
        lengths: dict[int, set[int]] = {}
        for network in ends:
            lengths.setdefault(network.version, set()).add(network.length)
        self._held = ends, {version: sorted(some) for version, some in lengths.items()}

    def __call__(self, address: Network) -> bool:
        """Whether `address` is blocked now. For Server's `blocked`."""
        ends, lengths = self._held
        for length in lengths.get(address.version, ()):
            network = address.supernet(length)
            if network in ends:
                until = ends[network]
                if until is None or until > self._clock():
                    return True
        return False
