"""Old logs through the jails: what would have been, with nothing touched.

Counters and ledger are in memory, protection is that of the configuration, and time is the log's
own. Traffic of a banned address goes on in the log, as it would not have in truth; it is counted
as nothing more than that.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from guard.events import Acceptance, Claim, Event, Good, Offence, Overflow, Rejection, Window
from guard.lib.networks import Network, parse_address
from guard.pipeline import Pipeline
from guard.protect.restraint import Restraint
from guard.protect.settings import ProtectSettings
from guard.roles import Counters
from guard.stores.open import Store

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

    def forget(self, *networks: Network) -> None:
        """The role's."""
        self._counters.forget(*networks)

    def close(self) -> None:
        """The role's."""
        self._counters.close()


class Hindsight(Restraint):
    """A restraint that knows at each moment of the log only what had happened by then.

    The live one is asked within a moment of what it is told; here a batch may span hours.
    """

    def __init__(self, settings: ProtectSettings, store: Store) -> None:
        # An ignorecommand is not run: it may ask the world of today, or change it.
        super().__init__(settings, store.standing, store.counters)
        self._history: dict[Network, list[Good]] = {}
        self._kept = settings.good_standing

    def heard(self, goods: Sequence[Good]) -> None:
        """Remembers signs of good standing, one a minute of each network."""
        for good in goods:
            known = self._history.setdefault(good.network, [])
            if not known or good.time > known[-1].time + 60:
                known.append(good)

    def goods(self, networks: Sequence[Network], time: float) -> dict[Network, Good]:
        """Those of `networks` that are in good standing at any time; `spares` looks closer."""
        return {n: self._history[n][-1] for n in networks if n in self._history}

    def spares(
        self,
        overflow: Overflow,
        good: Good | None,
        *,
        window: Window,
        weak: bool,
        ignoreself: bool = False,
    ) -> str | None:
        """Why a ban is not made, by the standing that `overflow` met."""
        if good is not None:
            known = self._history[overflow.network]
            at = bisect_right(known, overflow.time, key=_time_of)
            good = known[at - 1] if at else None
            if good is not None and good.time <= overflow.time - self._kept:
                good = None
        return super().spares(overflow, good, window=window, weak=weak, ignoreself=ignoreself)


def _time_of(good: Good) -> float:
    return good.time


class Replay:
    """One replay. `bans` and `later` grow as batches are heard; `spared` is the restraint's."""

    def __init__(
        self, pipeline: Pipeline, counters: Remembering, spared: Mapping[str, int]
    ) -> None:
        self.spared = spared
        self.bans: list[Ban] = []
        self.later: set[Network] = set()
        self.rejections = 0
        self.first, self.last = float("inf"), float("-inf")
        self._pipeline, self._counters = pipeline, counters
        self._since: dict[Network, float] = {}
        self._networks: dict[str, Network] = {}

    def hear(self, events: Sequence[Event]) -> Iterator[Ban]:
        """Runs the jails over `events` and yields the bans that come of them."""
        if not events:
            return
        self.first = min(self.first, events[0].time)
        self.last = max(self.last, events[-1].time)
        self.rejections += sum(type(event) is Rejection for event in events)
        for claim in self._pipeline.hear(events, None):
            ban = self._ban(claim)
            self.bans.append(ban)
            self._since.setdefault(ban.network, ban.time)
            yield ban
        self._counters.overflows.clear()
        self._look_back(events)

    @property
    def protected(self) -> int:
        """How many bans protection forbade."""
        return self._pipeline.tally.protected

    def _ban(self, claim: Claim) -> Ban:
        jail = claim.source.removeprefix("jail:")
        rejections = self._counters.overflows[jail, claim.network, claim.since]
        return Ban(claim.since, claim.network, jail, rejections, claim.until)

    def _look_back(self, events: Sequence[Event]) -> None:
        """Notes which banned networks did afterwards what only legitimate peers do."""
        if not self._since:
            return
        for event in events:
            if type(event) is Acceptance and event.how in LEGITIMATE:
                network = self._network(event.address)
                if event.time >= self._since.get(network, float("inf")):
                    self.later.add(network)

    def _network(self, address: str) -> Network:
        network = self._networks.get(address)
        if network is None:
            network = self._networks[address] = self._pipeline.key(parse_address(address))
        return network
