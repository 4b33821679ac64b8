"""Which jails count which events, and under which network: events -> offences.

What is the same for every event is worked out once. Addresses are canonical text from structured
fields. Time: an event of the future is taken as of now, and one that is older than a jail's window
is not counted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from guard.events import Claim, Event, Kind, Offence, Rejection
from guard.jails.jail import RECIDIVE, Jail
from guard.jails.routes import Route, route_of, windows_of
from guard.jails.settings import JailsSettings
from guard.lib.networks import Network
from guard.pipeline.judge import Tally


class Routing:
    """Of `jails`, with the widths of `settings` that addresses are counted by.

    `windows` has every jail's. What is too old is counted in `tally`.
    """

    def __init__(
        self, jails: Collection[Jail], settings: JailsSettings | None, tally: Tally
    ) -> None:
        self._tally = tally
        widths = settings or JailsSettings(path=(), filters=())
        self._widths = {4: widths.ipv4_prefix, 6: widths.ipv6_prefix}
        by_filter = {
            name: route_of(jail for jail in jails if jail.filter == name)
            for name in {jail.filter for jail in jails}
        }
        self._on_bans = [
            jail for name in RECIDIVE if name in by_filter for jail, _ in by_filter.pop(name).jails
        ]
        self._by_filter = by_filter
        by_kind = {kind: route_of(jail for jail in jails if kind in jail.kinds) for kind in Kind}
        self._by_kind = {kind: route for kind, route in by_kind.items() if route.jails}
        self.windows = windows_of(jails, [*by_filter.values(), *by_kind.values()])

    def key(self, network: Network) -> Network:
        """The network that `network` is counted under: /32 and /64 unless configured otherwise."""
        return network.supernet(self._widths[network.version])

    def key_all(self, read: dict[str, Network | None]) -> None:
        """Puts in place of each network the one that it is counted under."""
        # Most are IPv4, and counted as they are.
        masked = [text for text in read if ":" in text] if self._widths[4] == 32 else list(read)
        for text in masked:
            network = read[text]
            read[text] = network and self.key(network)

    def offences(
        self, events: Sequence[Event], met: Mapping[str, Network | None], now: float | None
    ) -> list[Offence]:
        """What each jail counts of `events`, each under what is `met` for its address."""
        found: list[Offence] = []
        by_kind, by_filter = self._by_kind, self._by_filter
        append, new = found.append, tuple.__new__  # half the cost of a named tuple's own
        for event in events:
            if not isinstance(event, Rejection):
                continue
            kind = event.kind
            route = by_kind.get(kind) if kind is not None else by_filter.get(event.filter)
            if route is None:
                continue
            network = met[event.address]
            if network is None:
                continue
            time = event.time
            if now is not None and not time > now - route.shortest:
                found += self._fresh(event, network, route, now)
                continue
            if now is not None and not time <= now:
                time = now
            append(new(Offence, (route.name, network, time, event.count)))
        return found

    def _fresh(
        self, event: Rejection, network: Network, route: Route, now: float
    ) -> Iterator[Offence]:
        """One for each jail whose window reaches back to `event`; one of no time is of now."""
        time = event.time
        if not time <= now:
            time = now
        for jail, findtime in route.jails:
            if time > now - findtime:
                yield Offence(jail, network, time, event.count)
            else:
                self._tally.stale += 1

    def of_bans(self, bans: Iterable[Claim]) -> list[Offence]:
        """What jails that read bans count: those of other jails."""
        return [
            Offence(jail, ban.network, ban.since)
            for ban in bans
            for jail in self._on_bans
            if ban.source != f"jail:{jail}"
        ]
