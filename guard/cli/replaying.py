"""Old logs through the jails: what would have been, with nothing touched.

Counters and ledger are in memory, protection is that of the configuration, and time is the log's
own. Traffic of a banned address goes on in the log, as it would not have in truth; it is counted
as nothing more than that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from guard.events import Acceptance, Claim, Event, Offence, Overflow, Rejection, Window
from guard.lib.networks import Network, parse_address
from guard.pipeline import Pipeline
from guard.roles import Counters

LEGITIMATE = ("mail", "auth")


@dataclass(frozen=True, slots=True)
class Ban:
    """A ban that a jail would have made, on `rejections` that filled its window."""

    time: float
    network: Network
    jail: str
    rejections: int
    until: float | None


class Remembering:
    """Counters that remember what filled the windows, which a claim does not say in numbers."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self.overflows: dict[tuple[str, Network, float], int] = {}

    def count(self, offences: Sequence[Offence], windows: Mapping[str, Window]) -> list[Overflow]:
        """The role's."""
        found = self._counters.count(offences, windows)
        for overflow in found:
            self.overflows[overflow.jail, overflow.network, overflow.time] = overflow.rejections
        return found

    def counted(self, network: Network) -> list[Offence]:
        """The role's."""
        return self._counters.counted(network)

    def forget(self, network: Network) -> None:
        """The role's."""
        self._counters.forget(network)

    def close(self) -> None:
        """The role's."""
        self._counters.close()


class Replay:
    """One replay. `bans` and `later` grow as batches are heard."""

    def __init__(self, pipeline: Pipeline, counters: Remembering) -> None:
        self.bans: list[Ban] = []
        self.later: Counter[Network] = Counter()
        self.rejections = 0
        self.first, self.last = float("inf"), float("-inf")
        self._pipeline, self._counters = pipeline, counters
        self._since: dict[Network, float] = {}
        self._networks: dict[str, Network] = {}

    def hear(self, events: Sequence[Event]) -> Iterator[Ban]:
        """Runs the jails over `events` and yields the bans that come of them."""
        if not events:
            return
        times = [event.time for event in events]
        self.first, self.last = min(self.first, *times), max(self.last, *times)
        self.rejections += sum(type(event) is Rejection for event in events)
        for claim in self._pipeline.hear(events, None):
            ban = self._ban(claim)
            self.bans.append(ban)
            self._since.setdefault(ban.network, ban.time)
            yield ban
        self._counters.overflows.clear()
        self._look_back(events)

    def _ban(self, claim: Claim) -> Ban:
        jail = claim.source.removeprefix("jail:")
        rejections = self._counters.overflows[jail, claim.network, claim.since]
        return Ban(claim.since, claim.network, jail, rejections, claim.until)

    def _look_back(self, events: Sequence[Event]) -> None:
        """Counts what banned networks did afterwards that only legitimate peers do."""
        if not self._since:
            return
        for event in events:
            if type(event) is Acceptance and event.how in LEGITIMATE:
                network = self._network(event.address)
                if event.time >= self._since.get(network, float("inf")):
                    self.later[network] += 1

    def _network(self, address: str) -> Network:
        network = self._networks.get(address)
        if network is None:
            network = self._networks[address] = self._pipeline.key(parse_address(address))
        return network
