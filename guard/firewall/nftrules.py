"""What an nftables table is made of, read back, to notice when somebody changed it.

Read over netlink as the kernel has it, without what changes by itself: handles, use counts. The
packets that were dropped are in counters of their own. Layout: linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import errno
import struct
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from guard.firewall.netlink import DUMP, KernelError, Netlink, attributes, message, text
from guard.firewall.nftsets import INET, SUBSYSTEM

_GET_TABLE, _GET_CHAIN, _GET_RULE, _GET_SET, _GET_GENERATION, _GET_OBJECT = 1, 4, 7, 10, 16, 19
_TABLE, _NAME = 1, 2
_CHAIN_NAME, _CHAIN_SHAPE = 3, (4, 5, 7)  # hook, policy, type
_RULE_CHAIN, _RULE_EXPRESSIONS = 2, 4
_SET_SHAPE = (3, 4, 5)  # flags, key type, key length
_SET_COUNT = 20
_OBJECT_DATA, _COUNTER_BYTES, _COUNTER_PACKETS = 4, 1, 2

Shape = dict[str, tuple[bytes, ...]]


def generation(netlink: Netlink) -> int:
    """A number that goes up by one with every transaction of anybody in this namespace."""
    answer = netlink.ask(message(SUBSYSTEM << 8 | _GET_GENERATION, 0, 0, b""))
    found = dict(attributes(answer))
    return int(struct.unpack(">I", found[1])[0])


def shape(netlink: Netlink, table: str) -> Shape:
    """The parts of `table` by what an operator would call them; empty when there is none."""
    found: defaultdict[str, list[bytes]] = defaultdict(list)
    for each in _dump(netlink, _GET_TABLE):
        if _name(each.get(_TABLE)) == table:
            found[f"the table inet {table}"].append(each.get(_NAME, b""))
    if not found:
        return {}
    for each in _dump(netlink, _GET_CHAIN, table):
        key = f"the chain {_name(each[_CHAIN_NAME])}"
        found[key] += [each.get(part, b"") for part in _CHAIN_SHAPE]
    for each in _dump(netlink, _GET_RULE, table):
        found[f"the rules of {_name(each[_RULE_CHAIN])}"].append(each.get(_RULE_EXPRESSIONS, b""))
    for each in _dump(netlink, _GET_SET, table):
        name = _name(each[_NAME])
        if not name.startswith("__"):
            # The set of ports in a rule has no name of its own.
            found[f"the set {name}"] += [each.get(part, b"") for part in _SET_SHAPE]
    return {key: tuple(parts) for key, parts in found.items()}


def compare(before: Shape, now: Shape) -> list[str]:
    """What is gone, changed or new, in words."""
    if before and not now:
        return ["somebody removed Guard's table from nftables"]
    gone = [f"somebody removed {part}" for part in before if part not in now]
    other = [
        f"somebody changed {part}" for part in before if now.get(part, before[part]) != before[part]
    ]
    new = [f"somebody added {part}" for part in now if part not in before]
    return gone + other + new


class SetShape(NamedTuple):
    """What a set was made as: its flags, nft's number for the type of its keys, their size."""

    flags: int
    kind: int
    size: int


def sets(netlink: Netlink, table: str) -> dict[str, SetShape]:
    """The sets of `table` that have a name; none when there is no such table."""
    try:
        found = list(_dump(netlink, _GET_SET, table))
    except KernelError as error:
        if error.code == errno.ENOENT:
            return {}
        raise
    return {
        _name(each[_NAME]): SetShape(*(_integer(each.get(part)) for part in _SET_SHAPE))
        for each in found
        if not _name(each[_NAME]).startswith("__")
    }


def sizes(netlink: Netlink, table: str) -> dict[str, int]:
    """How many elements each set holds, those that ended a moment ago included.

    Empty before Linux 6.16, which does not tell.
    """
    return {
        _name(each[_NAME]): int.from_bytes(each[_SET_COUNT], "big")
        for each in _dump(netlink, _GET_SET, table)
        if _SET_COUNT in each
    }


def dropped(netlink: Netlink, table: str) -> dict[str, tuple[int, int]]:
    """(packets, bytes) of each named counter of `table`."""
    found = {}
    for each in _dump(netlink, _GET_OBJECT, table):
        data = dict(attributes(each.get(_OBJECT_DATA, b"")))
        packets, size = data.get(_COUNTER_PACKETS, b""), data.get(_COUNTER_BYTES, b"")
        found[_name(each[_NAME])] = int.from_bytes(packets, "big"), int.from_bytes(size, "big")
    return found


def _dump(netlink: Netlink, command: int, table: str | None = None) -> Iterator[dict[int, bytes]]:
    body = b"" if table is None else text(_TABLE, table)
    for answer in netlink.dump(message(SUBSYSTEM << 8 | command, DUMP, INET, body)):
        found = {kind: bytes(data) for kind, data in attributes(answer)}
        if table is None or _name(found.get(_TABLE)) == table:
            yield found


def _integer(data: bytes | None) -> int:
    return int.from_bytes(data or b"", "big")


def _name(data: bytes | None) -> str:
    return (data or b"").rstrip(b"\0").decode("ascii", "replace")
