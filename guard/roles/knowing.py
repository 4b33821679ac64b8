"""What others know of an address."""

from __future__ import annotations

from typing import Protocol

from guard.events import Offence, Opinion, Suspicion
from guard.lib.networks import Network


class Suspects(Protocol):
    """Who is known to others as an offender, so that fewer rejections are enough for a ban."""

    def suspicion(self, offence: Offence, maxretry: int) -> Suspicion | None:
        """What lowers the bar of `maxretry` for this offence, or None. Costs a microsecond."""
        ...


class Enricher(Protocol):
    """A service of somebody else that knows more of an address. Asked beside the ban path.

    `name` is also the word by which jails ask for its score.
    """

    name: str

    def look_up(self, network: Network, now: float) -> Opinion | None:
        """What it says of `network`, or None when it has not heard of it.

        Waits for the service, within bounds. Raises Unavailable.
        """
        ...
