"""ipset over netlink: make, fill, swap, read and destroy sets with a timeout per element.

Layout: linux/netfilter/ipset/ip_set.h. ipset has no transactions; each message stands alone, and
adding what is there or deleting what is not is no error here. Timeouts are whole seconds, at most
`CEILING`; an element without one stays for ever. Trusts its caller with names and networks.
"""

from __future__ import annotations

import errno
import math
import struct
from collections.abc import Iterable, Iterator
from itertools import islice

from guard.events import Block
from guard.firewall.netlink import (
    BIG_ENDIAN,
    DUMP,
    EXCL,
    NESTED,
    KernelError,
    Netlink,
    attribute,
    attributes,
    message,
    text,
)
from guard.lib.networks import Network

# ip_set.h keeps a timeout in 31 bits of milliseconds.
CEILING = 2_147_483
_SUBSYSTEM = 6
_CREATE, _DESTROY, _FLUSH, _SWAP, _LIST, _ADD, _DELETE, _HEADER = 2, 3, 4, 6, 7, 9, 10, 12
_PROTOCOL, _NAME, _TYPE, _REVISION, _FAMILY, _FLAGS, _DATA, _ADT, _LINE = range(1, 10)
_LIST_SETNAME = 2
_IP, _CIDR, _TIMEOUT, _HASHSIZE, _MAXELEM = 1, 3, 6, 18, 19
_HEAD = attribute(_PROTOCOL, bytes([6]))
_AF = {4: 2, 6: 10}
_SIZES = {4: 4, 6: 16}
_CHUNK = 1200
# Not a reservation: the kernel grows the hash as elements come, up to this many.
_MOST = 1 << 27


def seconds(until: float | None, now: float) -> int:
    """How long an element stays; 0 is for ever."""
    return 0 if until is None else min(CEILING, max(1, math.ceil(until - now)))


class IPSets:
    """The sets of one network namespace, by name."""

    def __init__(self) -> None:
        self._netlink = Netlink()

    def close(self) -> None:
        """Lets the socket go."""
        self._netlink.close()

    def create(self, name: str, kind: str, version: int, expected: int = 0) -> None:
        """Makes a set of `kind` (hash:ip, hash:net) unless it is there; sized for `expected`.

        Raises KernelError when a set of that name is of another kind.
        """
        size = 1024
        while size < expected:
            size *= 2
        options = [(_TIMEOUT, 0), (_HASHSIZE, size), (_MAXELEM, max(_MOST, size))]
        data = b"".join(_number(key, value) for key, value in options)
        body = (
            _named(name)
            + text(_TYPE, kind)
            + attribute(_REVISION, b"\0")
            + attribute(_FAMILY, bytes([_AF[version]]))
            + attribute(_DATA | NESTED, data)
        )
        self._send(_CREATE, [body], EXCL if expected else 0)

    def names(self) -> list[str]:
        """Every set that there is, of whomever."""
        body = _HEAD + _number(_FLAGS, _LIST_SETNAME)
        request = message(_SUBSYSTEM << 8 | _LIST, DUMP, _AF[4], body)
        return [
            bytes(data).rstrip(b"\0").decode("ascii", "replace")
            for answer in self._netlink.dump(request)
            for key, data in attributes(answer)
            if key == _NAME
        ]

    def exists(self, name: str) -> bool:
        """Whether there is a set of that name."""
        try:
            self._send(_HEADER, [_named(name)])
        except KernelError as error:
            if error.code == errno.ENOENT:
                return False
            raise
        return True

    def flush(self, name: str) -> None:
        """Empties a set."""
        self._send(_FLUSH, [_named(name)])

    def destroy(self, name: str) -> None:
        """Removes a set, if it is there."""
        try:
            self._send(_DESTROY, [_named(name)])
        except KernelError as error:
            if error.code != errno.ENOENT:
                raise

    def swap(self, one: str, other: str) -> None:
        """Exchanges the contents of two sets at once."""
        self._send(_SWAP, [_named(one) + text(_TYPE, other)])

    def add(self, name: str, blocks: Iterable[Block], now: float) -> None:
        """Adds elements, or renews the end of those that are there."""
        self._send(_ADD, _lists(name, _timed(blocks, now)))

    def delete(self, name: str, networks: Iterable[Network]) -> None:
        """Deletes elements; those that are not there do not matter."""
        self._send(_DELETE, _lists(name, map(_untimed, networks)))

    def elements(self, name: str, version: int, now: float) -> Iterator[Block]:
        """What a set holds now."""
        request = message(_SUBSYSTEM << 8 | _LIST, DUMP, _AF[version], _named(name))
        for body in self._netlink.dump(request):
            for key, data in attributes(body):
                if key == _ADT:
                    for _, element in attributes(data):
                        yield _parse(element, version, now)

    def _send(self, command: int, bodies: Iterable[bytes], flags: int = 0) -> None:
        kind = _SUBSYSTEM << 8 | command
        self._netlink.send([message(kind, flags, _AF[4], body) for body in bodies])


def _named(name: str) -> bytes:
    return _HEAD + text(_NAME, name)


def _lists(name: str, elements: Iterable[bytes]) -> Iterator[bytes]:
    """Bodies of messages that carry `elements`, as many in each as an attribute's length takes."""
    head = _named(name) + _number(_LINE, 0)
    rest = iter(elements)
    while part := b"".join(islice(rest, _CHUNK)):
        yield head + attribute(_ADT | NESTED, part)


def _number(kind: int, value: int) -> bytes:
    return attribute(kind | BIG_ENDIAN, struct.pack(">I", value))


def _head(version: int, rest: int) -> bytes:
    """The three headers ahead of an address; `rest` is the size of what follows it."""
    size = 4 if version == 4 else 16
    family = (1 if version == 4 else 2) | BIG_ENDIAN
    data, nest = 4 + 8 + size + rest, 8 + size
    return struct.pack("=HHHHHH", data, _DATA | NESTED, nest, _IP | NESTED, 4 + size, family)


def _timed(blocks: Iterable[Block], now: float) -> Iterator[bytes]:
    """Elements with their time. By the million: whatever can be packed beforehand is."""
    clock = struct.pack("=HH", 8, _TIMEOUT | BIG_ENDIAN)
    mask = struct.pack("=HH", 5, _CIDR)
    address = {v: struct.Struct(f">12s{size}s4sI").pack for v, size in _SIZES.items()}
    prefix = {v: struct.Struct(f">12s{size}s4sB3x4sI").pack for v, size in _SIZES.items()}
    one = {version: _head(version, 8) for version in _SIZES}
    many = {version: _head(version, 16) for version in _SIZES}
    for (version, value, length), until in blocks:
        size = _SIZES[version]
        packed, left = value.to_bytes(size, "big"), seconds(until, now)
        if length == size * 8:
            yield address[version](one[version], packed, clock, left)
        else:
            yield prefix[version](many[version], packed, mask, length, clock, left)


def _untimed(network: Network) -> bytes:
    """An element as it is deleted."""
    mask = b"" if network.is_address else attribute(_CIDR, bytes([network.length]))
    return _head(network.version, len(mask)) + network.packed + mask


def _parse(data: memoryview, version: int, now: float) -> Block:
    value, length, left = 0, 32 if version == 4 else 128, 0
    for kind, part in attributes(data):
        if kind == _IP:
            value = int.from_bytes(part[4:], "big")
        elif kind == _CIDR:
            length = part[0]
        elif kind == _TIMEOUT:
            left = int.from_bytes(part, "big")
    return Block(Network(version, value, length), now + left if left else None)
