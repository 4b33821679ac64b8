"""What ends when, soonest first: to say that a ban is over at the moment when it is."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from heapq import heappop, heappush

from guard.lib.networks import Network


class Endings:
    """Networks with a time each. A network may be there more than once, until it is forgotten."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, Network]] = []
        self._open: set[Network] = set()

    def add(self, network: Network, until: float | None) -> None:
        """Remembers `network` until then; None never comes."""
        self._open.add(network)
        if until is not None:
            heappush(self._heap, (until, network))

    def forget(self, *networks: Network) -> None:
        """What was remembered of `networks` is over already."""
        self._open.difference_update(networks)

    def __contains__(self, network: Network) -> bool:
        """Whether `network` is remembered."""
        return network in self._open

    def among(self, networks: AbstractSet[Network] | None) -> list[Network]:
        """Those of `networks` that are remembered; None is all."""
        return list(self._open if networks is None else self._open & networks)

    def due(self, now: float) -> list[Network]:
        """Takes out every network whose time has come, each once, soonest first."""
        found = []
        while self._heap and self._heap[0][0] <= now:
            found.append(heappop(self._heap)[1])
        return [network for network in dict.fromkeys(found) if network in self._open]

    def extend(self, ends: Iterable[tuple[Network, float | None]]) -> None:
        """Remembers several."""
        for network, until in ends:
            self.add(network, until)
