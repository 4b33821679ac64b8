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
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from guard.events import Block
from guard.firewall.intervals import live, outlasts
from guard.firewall.routes import NULL, TABLE, Route, Routes, end_of, metric_of
from guard.lib.networks import Network
from guard.roles import Refused

_CONF = Path("/proc/sys/net/ipv4/conf")


class Blackhole:
    """The kernel's routes. It closes every port, whatever the settings say."""

    name = "blackhole"

    def __init__(self) -> None:
        self._opened: Routes | None = None
        # The routes that are there, as far as this process knows, and when exactly they are over.
        self._ends: dict[Network, float | None] = {}
        # Those whose metric is not what it would be today.
        self._odd: dict[Network, int] = {}
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
        """Where packets of banned hosts, or answers to them, still get through."""
        routes = self._routes
        found = [
            f"a rule ahead of Guard's may let packets of banned hosts pass (preference {number}); "
            f"see ip {'-6 ' if version == 6 else ''}rule"
            for version in routes.versions
            for number in routes.ahead(version)
        ]
        if not reverse_path_filtered():
            found.append(
                "rp_filter is off: packets of banned hosts still reach the listener, and only the "
                "answers are dropped; set net.ipv4.conf.all.rp_filter=1 (or 2)"
            )
        return found

    def apply(self, block: Sequence[Block], release: Sequence[Network], now: float) -> None:
        """Releases, then blocks. A new end is a new route, and then the old one goes."""
        wanted = live(block, now)
        self._remove({network for network in (*release, *dict(block)) if network not in wanted})
        self._lay(wanted)

    def replace(self, blocks: Iterable[Block], now: float) -> None:
        """Adds what is missing, then deletes what is too much."""
        wanted = live(blocks, now)
        self._learn(_parted(self._routes.listed())[0])
        self._lay({net: until for net, until in wanted.items() if not self._is_laid(net, until)})
        for network, until in wanted.items():
            self._keep(network, until)
        self._remove({network for network in self._ends if network not in wanted})

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

    def _lay(self, wanted: Mapping[Network, float | None]) -> None:
        """Adds the routes that are wanted, then deletes those whose place they take."""
        self._routes.add(Route(network, metric_of(until)) for network, until in wanted.items())
        self._routes.delete(
            self._known(network)
            for network, until in wanted.items()
            if network in self._ends and not self._is_laid(network, until)
        )
        for network, until in wanted.items():
            self._odd.pop(network, None)
            self._keep(network, until)

    def _is_laid(self, network: Network, until: float | None) -> bool:
        """Whether there is a route that ends then, as far as is known."""
        return network in self._ends and self._known(network).metric == metric_of(until)

    def _known(self, network: Network) -> Route:
        """The route to `network` that is there; of one that is not known, whichever there is."""
        if network not in self._ends:
            return Route(network, 0)
        metric = self._odd.get(network)
        return Route(network, metric_of(self._ends[network]) if metric is None else metric)

    def _remove(self, networks: set[Network]) -> None:
        """Deletes the routes to `networks`."""
        self._routes.delete(self._known(network) for network in networks)
        for network in networks:
            self._odd.pop(network, None)
            self._ends.pop(network, None)

    def _learn(self, held: dict[Network, int]) -> None:
        """These are the routes that are there. What was laid by this process is known exactly."""
        before, self._ends = self._ends, {}
        odd, self._odd = self._odd, {}
        for network, metric in held.items():
            known = before.get(network)
            if network in before and network not in odd and metric_of(known) == metric:
                self._ends[network] = known
                continue
            end = end_of(metric)
            if metric_of(end) != metric:
                self._odd[network] = metric
            self._keep(network, end)

    def _keep(self, network: Network, until: float | None) -> None:
        if until is not None and self._ends.get(network) != until:
            heapq.heappush(self._queue, (until, network))
        self._ends[network] = until


def _parted(routes: Iterable[Route]) -> tuple[dict[Network, int], list[Route]]:
    """The metrics of null routes, and what else is there: of two the one that ends first.

    Guard leaves two when it is killed over a new end.
    """
    held: dict[Network, int] = {}
    strays = []
    for route in routes:
        network, metric, kind = route
        if kind != NULL:
            strays.append(route)
        elif network not in held:
            held[network] = metric
        elif outlasts(end_of(metric), end_of(held[network]), 0):
            strays.append(Route(network, held[network]))
            held[network] = metric
        else:
            strays.append(route)
    return held, strays


def reverse_path_filtered(conf: Path = _CONF) -> bool:
    """Whether every interface drops what it could not answer, as the kernel decides it.

    The larger of `all` and the interface's own setting counts (ip-sysctl, rp_filter).
    """
    values = {path.parent.name: int(path.read_text()) for path in conf.glob("*/rp_filter")}
    overall = values.pop("all", 0)
    real = [value for name, value in values.items() if name not in ("default", "lo")]
    return all(max(overall, value) for value in real)
