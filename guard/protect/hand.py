"""The allow list by hand: whom `guard allow` lets in, on every host that shares the store.

A layer of the protection like the list in guard.toml, kept where the ledger is. `refresh` takes up
what other hosts changed; a store that does not answer keeps what was last known.
"""

from __future__ import annotations

from guard.events import Permit
from guard.lib.networks import Network
from guard.protect.protection import Protectors
from guard.roles import Permits

EVERY = 1.0
LAYER = "allow_hand"


class Hand:
    """`permits` as a layer of `protectors`."""

    def __init__(self, permits: Permits, protectors: Protectors) -> None:
        self._permits, self._protectors = permits, protectors

    def refresh(self, now: float) -> None:
        """Makes the layer what the store says."""
        self._set(self._permits.permits(now))

    def allow(self, permit: Permit) -> None:
        """Lets a network in."""
        self._permits.permit(permit)
        self.refresh(permit.since)

    def disallow(self, network: Network, now: float) -> bool:
        """Ends that; whether there was anything to end."""
        ended = self._permits.withdraw(network, now)
        self.refresh(now)
        return ended

    def _set(self, permits: list[Permit]) -> None:
        rows = sorted(permits)
        self._protectors.replace(
            LAYER, [(p.network, "allowed by hand" + (p.reason and f": {p.reason}")) for p in rows]
        )
