"""What the firewall's process is told, and what it answers: packets of fixed-size records. Pure.

A packet is a head and records, or a line of text. A message too long for one packet goes on in the
next ones of the same number, from the one marked `first` to the one marked `last`. Everything is
checked where it is read: what is not a verb, a network or a time that Guard can mean is BadMessage,
and nothing of it is done.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import NamedTuple

from guard.events import Block
from guard.lib.networks import Network

_HEAD = struct.Struct(">IBBH")
_RECORD = struct.Struct(">BBB16sd")
# A change that blocks one network and does nothing else, in one packet: head and two records.
_SINGLE = struct.Struct(_HEAD.format + _RECORD.format[1:] * 2)
# How both are read, an address as two numbers; of the first of two records the time alone.
_RECORDS = struct.Struct(">BBBQQd")
_READ = struct.Struct(_HEAD.format + "B18xdBBBQQd").unpack_from
# Of a record that is known to block an IPv4 address.
_END = struct.Struct(">19xd").iter_unpack
_VALUE = 3  # where the sixteen bytes of an address begin
_ADDRESS = _VALUE + 12
_RECORDS_A_PACKET = 4000
PACKET = _HEAD.size + _RECORDS_A_PACKET * _RECORD.size
_FIRST, _LAST = 1, 2
_WHOLE = _FIRST | _LAST
_EVER = math.inf
_BITS = {4: 32, 6: 128}
# No message has more networks: a limit for a sender that has gone mad.
MOST = 20_000_000


class BadMessage(ValueError):
    """A packet that no Guard sends."""


class Verb(IntEnum):
    """What is asked, and how it is answered."""

    OPEN = 1
    APPLY = 2
    REPLACE = 3
    BLOCKED = 4
    EXPIRE = 5
    FAULTS = 6
    WARNINGS = 7
    DISTURBED = 8
    DROPPED = 9
    CLEAR = 10
    TIDY = 11
    DONE = 20
    REFUSED = 21
    UNAVAILABLE = 22
    HELLO = 23
    FORBIDDEN = 24


_VERBS = {int(verb): verb for verb in Verb}
_APPLY, _DONE = int(Verb.APPLY), int(Verb.DONE)
_NOBODY = bytes(16)


class Packet(NamedTuple):
    """One packet of message `number`; `group` counts the groups of a firewall, itself being 0."""

    number: int
    verb: Verb
    first: bool
    last: bool
    body: bytes
    group: int = 0


def packets(number: int, verb: Verb, body: bytes, group: int = 0) -> Iterator[bytes]:
    """A message as packets."""
    size = _RECORDS_A_PACKET * _RECORD.size
    for at in range(0, len(body) or 1, size):
        part = body[at : at + size]
        place = (_FIRST if at == 0 else 0) | (_LAST if at + size >= len(body) else 0)
        yield _HEAD.pack(number & 0xFFFFFFFF, verb, place, group) + part


def packet(data: bytes) -> Packet:
    """Reads one packet."""
    if len(data) < _HEAD.size:
        raise BadMessage("a packet without a head")
    number, verb, place, group = _HEAD.unpack_from(data)
    known = _VERBS.get(verb)
    if known is None:
        raise BadMessage(f"there is no verb {verb}")
    first, last = bool(place & _FIRST), bool(place & _LAST)
    return Packet(number, known, first, last, data[_HEAD.size :], group)


def change(now: float, block: Iterable[Block], release: Iterable[Network]) -> bytes:
    """The time, then releases and blocks."""
    pack = _RECORD.pack
    body = bytearray(pack(0, 4, 0, _NOBODY, now))
    for version, value, length in release:
        body += pack(0, version, length, value.to_bytes(16, "big"), 0.0)
    for (version, value, length), until in block:
        end = _EVER if until is None else until
        body += pack(1, version, length, value.to_bytes(16, "big"), end)
    return bytes(body)


class Single(NamedTuple):
    """The change that nearly every ban is: one block; `number` and `group` are the packet's."""

    number: int
    group: int
    now: float
    block: Block


def single(number: int, group: int, now: float, block: Block) -> bytes:
    """A packet that applies a change of one block; the same bytes as `packets` of `change`."""
    (version, value, length), until = block
    packed, end = value.to_bytes(16, "big"), _EVER if until is None else until
    return _SINGLE.pack(
        number, _APPLY, _WHOLE, group, 0, 4, 0, _NOBODY, now, 1, version, length, packed, end
    )


def read_single(buffer: bytearray, size: int) -> Single | None:
    """The packet of `size` bytes in `buffer` if `single` could have made it; else None.

    As strict as `packet` and `read_change`, which say of any other what is wrong with it.
    """
    if size != _SINGLE.size:
        return None
    number, verb, place, group, first, now, what, version, length, high, low, until = _READ(buffer)
    if verb != _APPLY or place != _WHOLE or first != 0 or what != 1:
        return None
    bits, value = _BITS.get(version, -1), low if high == 0 else high << 64 | low
    if length > bits or value >> bits or value & ((1 << (bits - length)) - 1):
        return None
    if not (0 <= now < math.inf and until >= 0):  # nor is NaN
        return None
    new = tuple.__new__
    block = new(Block, (new(Network, (version, value, length)), None if until == _EVER else until))
    return new(Single, (number, group, now, block))


def done(number: int) -> bytes:
    """A packet that answers that all is done, with nothing to tell."""
    return _HEAD.pack(number, _DONE, _WHOLE, 0)


class Change(NamedTuple):
    """A change that has been checked as a whole. `block` is read once: there may be a million."""

    now: float
    block: Iterator[Block]
    release: list[Network]


def read_change(body: bytes) -> Change:
    """The other way round."""
    if not body or len(body) % _RECORD.size or len(body) // _RECORD.size > MOST:
        raise BadMessage(f"{len(body)} bytes are no list of networks")
    records = _RECORDS.iter_unpack(body)
    now = next(records)[5]
    if not 0 <= now < _EVER:  # nor is NaN
        raise BadMessage(f"no time that it could be: {now}")
    release: list[Network] = []
    block: list[Block] = []
    few = len(body) <= PACKET
    new, bits_of = tuple.__new__, _BITS.get  # half the cost of a named tuple's own
    for what, version, length, high, low, until in records:
        bits, value = bits_of(version, -1), high << 64 | low if high else low
        if length > bits or value >> bits or value & ((1 << (bits - length)) - 1):
            raise BadMessage(f"no network: version {version}, {value:x}/{length}")
        if not until >= 0:
            raise BadMessage(f"no time: {until}")
        network = new(Network, (version, value, length))
        if what == 0:
            release.append(network)
        elif what != 1:
            raise BadMessage(f"neither block nor release: {what}")
        elif few:
            block.append(new(Block, (network, None if until == _EVER else until)))
    return Change(now, iter(block) if few else _blocks(body), release)


def _blocks(body: bytes) -> Iterator[Block]:
    """The blocks in what has been checked."""
    new = tuple.__new__
    for what, version, length, high, low, until in _RECORDS.iter_unpack(body):
        if what == 1:
            network = new(Network, (version, high << 64 | low, length))
            yield new(Block, (network, None if until == _EVER else until))


class Hosts(NamedTuple):
    """A change that blocks IPv4 addresses until some time, and nothing else.

    `keys` has four bytes of each address, `until` its end.
    """

    keys: bytes
    until: list[float]
    now: float


def read_hosts(body: bytes) -> Hosts | None:
    """As `read_change`, if it can be read as Hosts: a ninth of the cost for all that jails do.

    As strict; of any other body `read_change` says what it is, or what is wrong with it.
    """
    size = _RECORD.size
    count = len(body) // size - 1
    if count < 1 or len(body) % size or len(body) > PACKET:
        return None
    now = _RECORDS.unpack_from(body)[5]
    for at, byte in enumerate((1, 4, 32, *bytes(_ADDRESS - _VALUE))):
        if body[size + at :: size] != bytes((byte,)) * count:
            return None
    until = [end for (end,) in _END(memoryview(body)[size:])]
    if [end for end in (now, *until) if not 0 <= end < _EVER]:  # nor is NaN
        return None
    keys = bytearray(4 * count)
    for at in range(4):
        keys[at::4] = body[size + _ADDRESS + at :: size]
    return Hosts(bytes(keys), until, now)


class Inbox:
    """Puts the packets of one message together; forgets one whose beginning or end is missing."""

    def __init__(self) -> None:
        self._number: int | None = None
        self._parts: list[bytes] = []
        self._size = 0

    def put(self, packet: Packet) -> bytes | None:
        """The body of the message that `packet` ends, or None."""
        if packet.first:
            self._number, self._parts, self._size = packet.number, [], 0
        if packet.number != self._number:
            return None
        self._parts.append(packet.body)
        self._size += len(packet.body)
        if self._size > MOST * _RECORD.size:
            self._number, self._parts = None, []
            raise BadMessage("a message without end")
        if not packet.last:
            return None
        body, self._number, self._parts = b"".join(self._parts), None, []
        return body
