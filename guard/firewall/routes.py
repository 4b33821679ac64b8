"""Null routes in a routing table of ours, over netlink, and the rule that leads the kernel there.

The kernel ends no null route, of either family. So each carries its end as its metric, in seconds
since 1970: whoever comes by can tell what is over. Layout: linux/rtnetlink.h, linux/fib_rules.h.
Trusts whoever may write into the table.
"""

from __future__ import annotations

import errno
import math
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

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
from guard.roles import Unavailable

TABLE, PREFERENCE = 5376, 100
NULL = 6  # RTN_BLACKHOLE
_ROUTE = 0  # NETLINK_ROUTE
_NEW_ROUTE, _DELETE_ROUTE, _GET_ROUTE, _NEW_RULE, _DELETE_RULE, _GET_RULE = 24, 25, 26, 32, 33, 34
_TO_TABLE = 1
_DST, _PRIORITY, _ROUTE_TABLE, _RULE_PREFERENCE = 1, 6, 15, 6
# No time of these years; nor is what the kernel gives a route without a metric, 0 or 1024.
_FOR_EVER, _LATEST = 1024, (1 << 32) - 1
_STATIC, _NOWHERE = 4, 255
_HEAD = struct.Struct("=BBBBBBBBI")
_LENGTH, _KIND = 1, 7  # of rtmsg: dst_len, type
_AF = {4: 2, 6: 10}


class Route(NamedTuple):
    """One route in our table; `kind` is the kernel's number for where it leads.

    Of one that is to be deleted, the metric 0 is any.
    """

    network: Network
    metric: int
    kind: int = NULL

    @property
    def end(self) -> float | None:
        """When it is over, as the metric tells."""
        return None if self.metric <= _FOR_EVER else float(self.metric)


def metric_of(until: float | None) -> int:
    """What a route carries of its end: whole seconds, up to 2106."""
    return _FOR_EVER if until is None else max(_FOR_EVER + 1, min(_LATEST, math.ceil(until)))


class Routes:
    """Our table in the network namespace of the thread that made this."""

    def __init__(self) -> None:
        self._netlink = Netlink(_ROUTE)
        self.versions = (4, 6) if Path("/proc/thread-self/net/if_inet6").exists() else (4,)

    def close(self) -> None:
        """Lets the socket go; safe to repeat."""
        self._netlink.close()

    def ruled(self, version: int) -> bool:
        """Whether the kernel looks into the table."""
        asked = request(_GET_RULE, DUMP, _HEAD.pack(_AF[version], 0, 0, 0, 0, 0, 0, 0, 0))
        with _explained():
            return any(
                _number(dict(attributes(answer, _HEAD.size)).get(_ROUTE_TABLE)) == TABLE
                for answer in self._netlink.dump(asked, skip=0)
            )

    def rule(self, version: int) -> None:
        """Has the kernel look there."""
        with _explained():
            self._netlink.send([_rule(_NEW_RULE, CREATE | EXCL, version)], {errno.EEXIST})

    def unrule(self, version: int) -> None:
        """The other way round."""
        with _explained():
            self._netlink.send([_rule(_DELETE_RULE, 0, version)], {errno.ENOENT})

    def listed(self) -> Iterator[Route]:
        """Every route in the table, of any kind."""
        for version in self.versions:
            for answer in self._dumped(version):
                found = dict(attributes(answer, _HEAD.size))
                if _number(found.get(_ROUTE_TABLE)) == TABLE:
                    network = _network(version, answer[_LENGTH], found.get(_DST))
                    yield Route(network, _number(found.get(_PRIORITY)), answer[_KIND])

    def add(self, routes: Iterable[Route]) -> None:
        """Adds what is not there; each stands alone."""
        messages = (_route(_NEW_ROUTE, CREATE | EXCL, route) for route in self._sane(routes))
        with _explained():
            self._netlink.send(messages, {errno.EEXIST})

    def delete(self, routes: Iterable[Route]) -> None:
        """Deletes what is there."""
        messages = (_route(_DELETE_ROUTE, 0, route) for route in self._sane(routes))
        with _explained():
            self._netlink.send(messages, {errno.ESRCH, errno.ENOENT})

    def sweep(self, now: float) -> int:
        """Deletes the routes that are over, whoever laid them; returns how many those are."""
        over = [route for route in self.listed() if route.end is not None and route.end <= now]
        self.delete(over)
        return len(over)

    def _sane(self, routes: Iterable[Route]) -> Iterator[Route]:
        return (route for route in routes if route.network.version in self.versions)

    def _dumped(self, version: int) -> list[memoryview]:
        head = _HEAD.pack(_AF[version], 0, 0, 0, 0, 0, 0, 0, 0)
        table = attribute(_ROUTE_TABLE, struct.pack("=I", TABLE))
        with _explained():
            try:
                return self._netlink.dump(request(_GET_ROUTE, DUMP, head + table), skip=0)
            except KernelError as error:
                if error.code != errno.ENOENT:  # there is no such table yet
                    raise
                return []


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except KernelError as error:
        raise Unavailable(f"the kernel's routes do not take the change: {error}") from error


def _route(command: int, flags: int, route: Route) -> bytes:
    network, metric, kind = route
    how = (0, _NOWHERE, kind) if command == _DELETE_ROUTE else (_STATIC, 0, kind)
    head = _HEAD.pack(_AF[network.version], network.length, 0, 0, 0, *how, 0)
    body = attribute(_DST, network.packed) + attribute(_ROUTE_TABLE, struct.pack("=I", TABLE))
    if metric:
        body += attribute(_PRIORITY, struct.pack("=I", metric))
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
