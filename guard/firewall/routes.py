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
from functools import partial
from pathlib import Path
from typing import NamedTuple

from guard.firewall.netlink import (
    CREATE,
    DUMP,
    EXCL,
    REQUEST,
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
_TO_TABLE, _GO_TO = 1, 2
_LEADING, _LOCAL = (_TO_TABLE, _GO_TO), 255
_DST, _PRIORITY, _ROUTE_TABLE, _RULE_PREFERENCE = 1, 6, 15, 6
# No time of these years; nor is what the kernel gives a route without a metric, 0 or 1024.
_FOR_EVER, _LATEST = 1024, (1 << 32) - 1
_STATIC, _NOWHERE = 4, 255
_HEAD = struct.Struct("=BBBBBBBBI")
_LENGTH, _KIND = 1, 7  # of rtmsg: dst_len, type
_AF = {4: 2, 6: 10}
# A message with its attributes: destination, table, metric.
_WHOLE = {
    4: (struct.Struct("=IHHII8BIHH4sHHIHHI"), 4),
    6: (struct.Struct("=IHHII8BIHH16sHHIHHI"), 16),
}
# What is read of an answer that has IPv4's attributes in this order.
_FIRST = struct.Struct("=xB5xB4xIII4sII")
_ATTRIBUTES = tuple(kind << 16 | 8 for kind in (_ROUTE_TABLE, _DST, _PRIORITY))


class Route(NamedTuple):
    """One route in our table; `kind` is the kernel's number for where it leads.

    Of one that is to be deleted, the metric 0 is any.
    """

    network: Network
    metric: int
    kind: int = NULL


class _Rule(NamedTuple):
    """Which table packets are looked up in, or what else becomes of them; the least comes first."""

    preference: int
    table: int
    action: int


def metric_of(until: float | None) -> int:
    """What a route carries of its end: whole seconds, up to 2106."""
    return _FOR_EVER if until is None else max(_FOR_EVER + 1, min(_LATEST, math.ceil(until)))


def end_of(metric: int) -> float | None:
    """When a route is over, as its metric tells."""
    return None if metric <= _FOR_EVER else float(metric)


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
        return any(rule.table == TABLE for rule in self._rules(version))

    def ahead(self, version: int) -> list[int]:
        """The preferences of the rules that lead packets elsewhere before the kernel looks there.

        Not that of the kernel's own, by which this machine's addresses are found.
        """
        rules = sorted(self._rules(version))
        first = min((rule.preference for rule in rules if rule.table == TABLE), default=0)
        leading = [rule for rule in rules if rule.action in _LEADING and rule.table != _LOCAL]
        return [rule.preference for rule in leading if rule.preference < first]

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
            yield from filter(None, self._dumped(version))

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
        ends = ((end_of(route.metric), route) for route in self.listed())
        over = [route for end, route in ends if end is not None and end <= now]
        self.delete(over)
        return len(over)

    def _rules(self, version: int) -> list[_Rule]:
        asked = request(_GET_RULE, DUMP, _HEAD.pack(_AF[version], 0, 0, 0, 0, 0, 0, 0, 0))
        with _explained():
            return self._netlink.dump_as(_read_rule, asked, skip=0)

    def _sane(self, routes: Iterable[Route]) -> Iterator[Route]:
        return (route for route in routes if route.network.version in self.versions)

    def _dumped(self, version: int) -> list[Route | None]:
        head = _HEAD.pack(_AF[version], 0, 0, 0, 0, 0, 0, 0, 0)
        table = attribute(_ROUTE_TABLE, struct.pack("=I", TABLE))
        with _explained():
            try:
                asked = request(_GET_ROUTE, DUMP, head + table)
                return self._netlink.dump_as(partial(_read, version), asked, skip=0)
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
    """A whole message, packed at once: there may be a million."""
    (version, value, length), metric, kind = route
    whole, size = _WHOLE[version]
    protocol, scope = (0, _NOWHERE) if command == _DELETE_ROUTE else (_STATIC, 0)
    return whole.pack(
        *(whole.size, command, flags | REQUEST, 0, 0),
        *(_AF[version], length, 0, 0, 0, protocol, scope, kind, 0),
        *(4 + size, _DST, value.to_bytes(size, "big")),
        *(8, _ROUTE_TABLE, TABLE, 8, _PRIORITY, metric),
    )


def _read(version: int, answer: memoryview) -> Route | None:
    """The route that an answer tells of, if it is in our table."""
    if len(answer) >= _FIRST.size and version == 4:
        # As today's kernels put it, a third of what it costs to take it apart.
        found = _FIRST.unpack_from(answer)
        length, kind, first, table, second, value, third, metric = found
        if (first, second, third) == _ATTRIBUTES and table == TABLE:
            return Route(Network(4, int.from_bytes(value, "big"), length), metric, kind)
    told = dict(attributes(answer, _HEAD.size))
    if _number(told.get(_ROUTE_TABLE)) != TABLE:
        return None
    value = int.from_bytes(told.get(_DST, b""), "big")
    network = Network(version, value, answer[_LENGTH])
    return Route(network, _number(told.get(_PRIORITY)), answer[_KIND])


def _read_rule(answer: memoryview) -> _Rule:
    told = dict(attributes(answer, _HEAD.size))
    preference, table = _number(told.get(_RULE_PREFERENCE)), _number(told.get(_ROUTE_TABLE))
    return _Rule(preference, table, answer[_KIND])


def _rule(command: int, flags: int, version: int) -> bytes:
    head = _HEAD.pack(_AF[version], 0, 0, 0, 0, 0, 0, _TO_TABLE, 0)
    body = attribute(_RULE_PREFERENCE, struct.pack("=I", PREFERENCE))
    body += attribute(_ROUTE_TABLE, struct.pack("=I", TABLE))
    return request(command, flags, head + body)


def _number(data: memoryview | None) -> int:
    return 0 if data is None else int(struct.unpack("=I", data)[0])
