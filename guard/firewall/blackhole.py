"""Null routes: for a kernel without netfilter, or a router that drops by route.

A route to a banned network that leads nowhere, in a routing table of our own which a rule has the
kernel look into before the main one. What that means differs from a packet filter:

* Every port and protocol is closed, in both directions: this machine cannot reach them either.
* The first packets of a banned host still reach the listener unless `rp_filter` is on (the kernel
  then drops what it could not answer); without it, and always for IPv6, only the answers are
  dropped, so that no connection is ever made but each try costs the kernel half of one.
* The kernel ends no null route: a running Guard does, by `expire`, and `guard expire` without one.

Trusts whoever may write into routing table 5376. Needs CAP_NET_ADMIN.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from pathlib import Path

from guard.events import Block
from guard.firewall.intervals import live, outlasts
from guard.firewall.routes import NULL, TABLE, Route, Routes, metric_of
from guard.lib.networks import Network
from guard.roles import Refused

_CONF = Path("/proc/sys/net/ipv4/conf")


class Blackhole:
    """The kernel's routes. It closes every port, whatever the settings say."""

    name = "blackhole"

    def __init__(self) -> None:
        self._opened: Routes | None = None
        # The routes that are there, as far as this process knows, and when exactly they are over.
        self._held: dict[Network, Route] = {}
        self._ends: dict[Network, float | None] = {}
        self._queue: list[tuple[float, Network]] = []

    def open(self) -> None:
        """Has the kernel look into our table; the routes in it stay as they are."""
        routes = self._opened = self._opened or Routes()
        for version in routes.versions:
            if not routes.ruled(version):
                routes.rule(version)
        held, strays = _parted(routes.listed())
        self._learn(held)
        routes.delete(strays)

    def present(self) -> bool:
        """Whether our table has a route in this kernel; needs no privilege, nor to be open."""
        routes = Routes()
        try:
            return any(route.kind == NULL for route in routes.listed())
        finally:
            routes.close()

    def faults(self) -> list[str]:
        """Whether somebody removed the rule, or put routes into our table that are not Guard's."""
        routes = self._routes
        gone = [version for version in routes.versions if not routes.ruled(version)]
        found = [f"somebody removed the rule that looks into table {TABLE} (IPv{v})" for v in gone]
        strays = [str(route.network) for route in _parted(routes.listed())[1]]
        said = f"somebody put routes into table {TABLE} beside Guard's: {', '.join(strays[:3])}"
        return [*found, said] if strays else found

    def warnings(self) -> list[str]:
        """Where first packets of banned hosts still reach the listener."""
        if reverse_path_filtered():
            return []
        return [
            "rp_filter is off: packets of banned hosts still reach the listener, and only the "
            "answers are dropped; set net.ipv4.conf.all.rp_filter=1 (or 2)"
        ]

    def apply(self, block: Sequence[Block], release: Sequence[Network], now: float) -> None:
        """Releases, then blocks. A new end is a new route, and then the old one goes."""
        wanted = live(block, now)
        self._remove({network for network in (*release, *dict(block)) if network not in wanted})
        new = {network: Route(network, metric_of(until)) for network, until in wanted.items()}
        self._routes.add(new.values())
        before = (self._held[network] for network in new if network in self._held)
        self._routes.delete([route for route in before if route != new[route.network]])
        for network, until in wanted.items():
            self._keep(new[network], until)

    def replace(self, blocks: Iterable[Block], now: float) -> None:
        """Adds what is missing, then deletes what is too much."""
        wanted = dict(blocks)
        present = self.blocked(now)
        self.apply([Block(*item) for item in wanted.items()], [], now)
        self.apply([], [network for network in present if network not in wanted], now)

    def blocked(self, now: float) -> dict[Network, float | None]:
        """The routes in our table, each with its end."""
        self._learn(_parted(self._routes.listed())[0])
        return dict(self._ends)

    def expire(self, now: float) -> None:
        """Deletes the routes whose end has come."""
        over = set()
        while self._queue and self._queue[0][0] <= now:
            until, network = heapq.heappop(self._queue)
            if self._ends.get(network) == until:
                over.add(network)
        if over:
            self._remove(over)

    def close(self, *, clear: bool = False) -> None:
        """Lets go of the socket; `clear` removes rule and routes."""
        if clear:
            routes = self._opened = self._opened or Routes()
            for version in routes.versions:
                if routes.ruled(version):
                    routes.unrule(version)
            routes.delete(list(routes.listed()))
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    @property
    def _routes(self) -> Routes:
        if self._opened is None:
            raise Refused("the blackhole firewall is not open")
        return self._opened

    def _remove(self, networks: set[Network]) -> None:
        """Deletes the routes to `networks`; to one that is not known, whichever there is."""
        self._routes.delete(self._held.get(network) or Route(network, 0) for network in networks)
        for network in networks:
            self._held.pop(network, None)
            self._ends.pop(network, None)

    def _learn(self, held: dict[Network, Route]) -> None:
        """These are the routes that are there. What was laid by this process is known exactly."""
        before, ends = self._held, self._ends
        self._held, self._ends = held, {}
        for network, route in held.items():
            if before.get(network) == route:
                self._ends[network] = ends[network]
            else:
                self._keep(route, route.end)

    def _keep(self, route: Route, until: float | None) -> None:
        self._held[route.network], self._ends[route.network] = route, until
        if until is not None:
            heapq.heappush(self._queue, (until, route.network))


def _parted(routes: Iterable[Route]) -> tuple[dict[Network, Route], list[Route]]:
    """The null routes, and what else there is: of two to one network the one that ends first.

    Guard leaves two when it is killed over a new end.
    """
    held: dict[Network, Route] = {}
    strays = []
    for route in routes:
        other = held.get(route.network)
        if route.kind != NULL:
            strays.append(route)
        elif other is None:
            held[route.network] = route
        else:
            lasts = outlasts(route.end, other.end, 0)
            strays.append(other if lasts else route)
            held[route.network] = route if lasts else other
    return held, strays


def reverse_path_filtered(conf: Path = _CONF) -> bool:
    """Whether every interface drops what it could not answer, as the kernel decides it.

    The larger of `all` and the interface's own setting counts (ip-sysctl, rp_filter).
    """
    values = {path.parent.name: int(path.read_text()) for path in conf.glob("*/rp_filter")}
    overall = values.pop("all", 0)
    real = [value for name, value in values.items() if name not in ("default", "lo")]
    return all(max(overall, value) for value in real)
