"""Null routes: for a kernel without netfilter, or a router that drops by route.

A route to a banned network that leads nowhere, in a routing table of our own which a rule has the
kernel look into before the main one. What that means differs from a packet filter:

* Every port and protocol is closed, in both directions: this machine cannot reach them either.
* The first packets of a banned host still reach the listener unless `rp_filter` is on (the kernel
  then drops what it could not answer); without it, and always for IPv6, only the answers are
  dropped, so that no connection is ever made but each try costs the kernel half of one.
* Routes have no end: somebody has to call `expire`, so that a ban does not end while Guard is down.

Trusts whoever may write into routing table 5376. Needs CAP_NET_ADMIN.
"""

from __future__ import annotations

import errno
import heapq
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from guard.events import Block
from guard.firewall.intervals import live
from guard.firewall.netlink import (
    CREATE,
    DUMP,
    EXCL,
    KernelError,
    Netlink,
    attribute,
    attributes,
    request,
)
from guard.lib.networks import Network
from guard.roles import Refused, Unavailable

TABLE, PREFERENCE = 5376, 100
_ROUTE = 0  # NETLINK_ROUTE
_NEW_ROUTE, _DELETE_ROUTE, _GET_ROUTE, _NEW_RULE, _DELETE_RULE, _GET_RULE = 24, 25, 26, 32, 33, 34
_TO_TABLE, _BLACKHOLE = 1, 6
_DST, _ROUTE_TABLE, _RULE_PREFERENCE = 1, 15, 6
_STATIC, _NOWHERE = 4, 255
_HEAD = struct.Struct("=BBBBBBBBI")
_LENGTH, _KIND = 1, 7  # of rtmsg: dst_len, type
_AF = {4: 2, 6: 10}
_CONF = Path("/proc/sys/net/ipv4/conf")


class Blackhole:
    """The kernel's routes. It closes every port, whatever the settings say."""

    name = "blackhole"

    def __init__(self) -> None:
        self._netlink: Netlink | None = None
        self._ends: dict[Network, float | None] = {}
        self._queue: list[tuple[float, Network]] = []
        self._versions = (4, 6) if Path("/proc/thread-self/net/if_inet6").exists() else (4,)

    def open(self) -> None:
        """Has the kernel look into our table; the routes in it stay as they are."""
        if self._netlink is None:
            self._netlink = Netlink(_ROUTE)
        with self._explained():
            for version in self._versions:
                if not self._ruled(version):
                    self._opened.send([_rule(_NEW_RULE, CREATE | EXCL, version)], {errno.EEXIST})
                self._delete(set(self._strays(version)))

    def present(self) -> bool:
        """Whether our table has a route in this kernel; needs no privilege, nor to be open."""
        opened, self._netlink = self._netlink, self._netlink or Netlink(_ROUTE)
        try:
            with self._explained():
                return any(True for version in self._versions for _ in self._routes(version))
        finally:
            if opened is None:
                self.close()

    def faults(self) -> list[str]:
        """Whether somebody removed the rule, or put routes into our table that lead somewhere."""
        gone = [version for version in self._versions if not self._ruled(version)]
        found = [f"somebody removed the rule that looks into table {TABLE} (IPv{v})" for v in gone]
        strays = [str(network) for v in self._versions for network in self._strays(v)]
        said = f"somebody put routes into table {TABLE} that are not null: {', '.join(strays[:3])}"
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
        """Releases, then blocks, a message each."""
        wanted = live(block, now)
        gone = {network for network in (*release, *dict(block)) if network not in wanted}
        with self._explained():
            self._delete(gone)
            added = (_route(_NEW_ROUTE, CREATE | EXCL, network) for network in self._sane(wanted))
            self._opened.send(added, {errno.EEXIST})
        for network in gone:
            self._ends.pop(network, None)
        for network, until in wanted.items():
            self._keep(network, until)

    def replace(self, blocks: Iterable[Block], now: float) -> None:
        """Adds what is missing, then deletes what is too much."""
        wanted = dict(blocks)
        present = self.blocked(now)
        self._ends = {network: until for network, until in self._ends.items() if network in wanted}
        self.apply([Block(*item) for item in wanted.items()], [], now)
        self.apply([], [network for network in present if network not in wanted], now)

    def blocked(self, now: float) -> dict[Network, float | None]:
        """The routes in our table; those that this process did not lay seem to be for ever."""
        found: dict[Network, float | None] = {}
        with self._explained():
            for version in self._versions:
                for network in self._routes(version):
                    found[network] = self._ends.get(network)
        return found

    def expire(self, now: float) -> None:
        """Deletes the routes whose end has come."""
        over = set()
        while self._queue and self._queue[0][0] <= now:
            until, network = heapq.heappop(self._queue)
            if self._ends.get(network) == until:
                over.add(network)
        if over:
            with self._explained():
                self._delete(over)
            for network in over:
                del self._ends[network]

    def close(self, *, clear: bool = False) -> None:
        """Lets go of the socket; `clear` removes rule and routes."""
        if clear:
            self._netlink = self._netlink or Netlink(_ROUTE)
            with self._explained():
                for version in self._versions:
                    if self._ruled(version):
                        rule = _rule(_DELETE_RULE, 0, version)
                        self._netlink.send([rule], {errno.ENOENT})
                    self._delete(set(self._routes(version)))
        if self._netlink is not None:
            self._netlink.close()
            self._netlink = None

    @property
    def _opened(self) -> Netlink:
        if self._netlink is None:
            raise Refused("the blackhole firewall is not open")
        return self._netlink

    def _sane(self, networks: Iterable[Network]) -> Iterator[Network]:
        return (network for network in networks if network.version in self._versions)

    def _delete(self, networks: Iterable[Network]) -> None:
        messages = (_route(_DELETE_ROUTE, 0, network) for network in self._sane(networks))
        self._opened.send(messages, {errno.ESRCH, errno.ENOENT})

    def _keep(self, network: Network, until: float | None) -> None:
        self._ends[network] = until
        if until is not None:
            heapq.heappush(self._queue, (until, network))

    def _routes(self, version: int) -> Iterator[Network]:
        """The null routes in our table."""
        return (network for kind, network in self._listed(version) if kind == _BLACKHOLE)

    def _strays(self, version: int) -> Iterator[Network]:
        """Where else routes in our table lead, which Guard has none of."""
        return (network for kind, network in self._listed(version) if kind != _BLACKHOLE)

    def _listed(self, version: int) -> Iterator[tuple[int, Network]]:
        asked = request(_GET_ROUTE, DUMP, _HEAD.pack(_AF[version], 0, 0, 0, 0, 0, 0, 0, 0))
        for answer in self._opened.dump(asked, skip=0):
            found = dict(attributes(answer, _HEAD.size))
            if _number(found.get(_ROUTE_TABLE)) == TABLE:
                yield answer[_KIND], _network(version, answer[_LENGTH], found.get(_DST))

    def _ruled(self, version: int) -> bool:
        asked = request(_GET_RULE, DUMP, _HEAD.pack(_AF[version], 0, 0, 0, 0, 0, 0, 0, 0))
        return any(
            _number(dict(attributes(answer, _HEAD.size)).get(_ROUTE_TABLE)) == TABLE
            for answer in self._opened.dump(asked, skip=0)
        )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except KernelError as error:
            raise Unavailable(f"the kernel's routes do not take the change: {error}") from error


def _route(command: int, flags: int, network: Network) -> bytes:
    # A route is deleted whoever laid it, and whatever it is: the table is ours.
    how = (0, _NOWHERE, 0) if command == _DELETE_ROUTE else (_STATIC, 0, _BLACKHOLE)
    head = _HEAD.pack(_AF[network.version], network.length, 0, 0, 0, *how, 0)
    body = attribute(_DST, network.packed) + attribute(_ROUTE_TABLE, struct.pack("=I", TABLE))
    return request(command, flags, head + body)


def _rule(command: int, flags: int, version: int) -> bytes:
    head = _HEAD.pack(_AF[version], 0, 0, 0, 0, 0, 0, _TO_TABLE, 0)
    body = attribute(_RULE_PREFERENCE, struct.pack("=I", PREFERENCE))
    body += attribute(_ROUTE_TABLE, struct.pack("=I", TABLE))
    return request(command, flags, head + body)


def _number(data: memoryview | None) -> int:
    return 0 if data is None else int(struct.unpack("=I", data)[0])


def _network(version: int, length: int, data: memoryview | None) -> Network:
    return Network(version, 0 if data is None else int.from_bytes(data, "big"), length)


def reverse_path_filtered(conf: Path = _CONF) -> bool:
    """Whether every interface drops what it could not answer, as the kernel decides it.

    The larger of `all` and the interface's own setting counts (ip-sysctl, rp_filter).
    """
    values = {path.parent.name: int(path.read_text()) for path in conf.glob("*/rp_filter")}
    overall = values.pop("all", 0)
    real = [value for name, value in values.items() if name not in ("default", "lo")]
    return all(max(overall, value) for value in real)
