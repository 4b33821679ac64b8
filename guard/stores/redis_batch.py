"""What one call of count.lua is asked: offences summed per address, addresses per table.

What is counted lies in tables (docs/redis.md): hashes of many addresses, one for each of 64 slots,
each length of time that jails keep what they share (a power of two of seconds, `bits`), and each
such length of time that has passed since the epoch (a generation). An address is in the table of
its newest rejection: a call looks a generation back and one ahead of the times it brings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import starmap
from math import ceil, floor
from socket import inet_ntoa
from struct import Struct, iter_unpack
from typing import Any
from zlib import crc32

import msgspec

from guard.events import JOIN, Offence, Overflow, Part, Window
from guard.jails.window import span_of
from guard.lib.networks import Network

_pack = msgspec.msgpack.Encoder().encode
_time = Struct("<d").pack

Rule = list[str | int | float]
Items = list[int | float]


def text_of(network: Network) -> str:
    """What str() gives, in a third of the time for what most networks are."""
    version, value, length = network
    return inet_ntoa(value.to_bytes(4, "big")) if version + length == 36 else str(network)


def slot_of(text: str) -> int:
    """In which of the 64 slots a network is."""
    return crc32(text.encode()) & 63


def index_key(slot: int) -> str:
    """The key that names the tables of a slot, and that theirs begin with."""
    return f"guard:hits:{{{slot:02x}}}"


def bits_of(window: Window) -> int:
    """How long what a jail counts is kept, as a power of two of seconds."""
    return max(0, (ceil(span_of(window)) - 1).bit_length())


class _Asked:
    """What is asked of one address: `times` packed, or for rule 0 a list of items."""

    __slots__ = ("indices", "last", "rule", "times")

    def __init__(self, rule: int, time: float, index: int) -> None:
        self.rule, self.last = rule, time
        self.times: bytes | Items = _time(time)
        self.indices = [index]

    def add(self, rule: int, time: float, rejections: int, index: int) -> None:
        """One offence more."""
        self.indices.append(index)
        if isinstance(self.times, bytes):
            if rule == self.rule and rejections == 1 and time >= self.last:
                self.times += _time(time)
                self.last = time
                return
            self.times = self.items()
            self.rule = 0
        self.times += (rule, time, rejections)

    def items(self) -> Items:
        """The times one by one."""
        assert isinstance(self.times, bytes)
        return [x for (time,) in iter_unpack("<d", self.times) for x in (self.rule, time, 1)]


class _Shelf:
    """Addresses of the same `bits`, whose times lie within two generations: `low` to `high`."""

    __slots__ = ("asked", "bits", "high", "low")

    def __init__(self, bits: int, time: float) -> None:
        self.bits = bits
        self.asked: dict[Network, _Asked] = {}
        self.low = float(floor(time / 2**bits) * 2**bits)
        self.high = self.low + 2**bits

    def takes(self, time: float) -> bool:
        """Whether it has room for `time`, at its new bounds."""
        span = 2**self.bits
        begin = floor(time / span) * span
        low, high = min(self.low, begin), max(self.high, begin + span)
        if high - low > 2 * span:
            return False
        self.low, self.high = low, high
        return True


class Call:
    """What the script is to be asked, and what its answer means."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._rules: list[Rule] = []
        self._windows: Mapping[str, Window] = {}
        self._shelves: dict[int, _Shelf] = {}
        self._full: list[_Shelf] = []
        self._order: list[tuple[Network, _Asked]] = []
        self._offences: list[Offence] = []
        self._times: list[bytes] = []
        self.keys: list[str] = []
        for part in parts:
            self._take(part)
        chunks = list(self._chunks())
        self.arguments = _pack((self._rules, chunks)), b"".join(self._times)

    def _take(self, part: Part) -> None:
        """Sums the offences of `part` per address."""
        rules: dict[str, tuple[int, int]] = {}
        index = len(self._offences) - 1
        self._offences += part.offences
        for jail, network, time, rejections in part.offences:
            index += 1
            rule, bits = rules.get(jail) or rules.setdefault(jail, self._rule(jail, part.windows))
            shelf = self._shelves.get(bits)
            if shelf is None or not (shelf.low <= time < shelf.high or shelf.takes(time)):
                if shelf is not None:
                    self._full.append(shelf)
                shelf = self._shelves[bits] = _Shelf(bits, time)
            asked = shelf.asked.get(network)
            if asked is not None:
                asked.add(rule, time, rejections, index)
            elif rejections == 1:
                shelf.asked[network] = _Asked(rule, time, index)
            else:
                asked = shelf.asked[network] = _Asked(0, time, index)
                asked.times = [rule, time, rejections]

    def _rule(self, name: str, windows: Mapping[str, Window]) -> tuple[int, int]:
        """The number of a new rule, and the bits of its shelf."""
        rule: Rule = [name]
        for jail in name.split(JOIN):
            rule += [jail, windows[jail].maxretry, float(windows[jail].findtime)]
        self._rules.append(rule)
        return len(self._rules), bits_of(windows[name.partition(JOIN)[0]])

    def _chunks(self) -> Iterator[tuple[int, int, int, list[Any]]]:
        """What each table is asked, in order; `keys` and the order of addresses on the way."""
        for shelf in [*self._full, *self._shelves.values()]:
            slots: dict[int, list[Any]] = {}
            orders: dict[int, list[tuple[Network, _Asked]]] = {}
            for network, asked in shelf.asked.items():
                text = text_of(network)
                slot = slot_of(text)
                flat = slots.get(slot)
                if flat is None:
                    flat, orders[slot] = slots.setdefault(slot, []), []
                times = asked.times
                number = len(times) // 8 if isinstance(times, bytes) else times
                flat += (text, asked.rule, number)
                orders[slot].append((network, asked))
            span = 2**shelf.bits
            first, last = int(shelf.low // span) - 1, int(shelf.high // span)
            names = [f":{shelf.bits}:{generation}" for generation in range(first, last + 1)]
            for slot, flat in slots.items():
                index = index_key(slot)
                self.keys += [index, *(index + name for name in names)]
                self._order += orders[slot]
                self._times += [a.times for _, a in orders[slot] if isinstance(a.times, bytes)]
                yield len(names), shelf.bits, first, flat

    def filled(self, answer: Sequence[int]) -> list[tuple[int, Overflow]]:
        """The windows that filled, each with the index of its offence, in the order of those."""
        found = starmap(self._filled, zip(*[iter(answer)] * 4, strict=True))
        return sorted(found, key=lambda pair: pair[0])

    def _filled(self, at: int, which: int, jail: int, total: int) -> tuple[int, Overflow]:
        network, asked = self._order[at - 1]
        index = asked.indices[which - 1]
        offence = self._offences[index]
        name = offence.jail.split(JOIN)[jail - 1]
        return index, Overflow(name, network, offence.time, total)


def read(value: bytes) -> dict[str, tuple[float, ...]]:
    """The times of each set of jails in a value; what somebody else wrote there is nothing."""
    found: dict[str, tuple[float, ...]] = {}
    at = 0
    while at < len(value):
        end = at + 1 + value[at]
        number = int.from_bytes(value[end : end + 2], "little")
        times = value[end + 2 : end + 2 + 8 * number]
        if len(times) < 8 * number or len(value) < end + 2:
            return {}
        found[value[at + 1 : end].decode("ascii", "replace")] = tuple(
            time for (time,) in iter_unpack("<d", times)
        )
        at = end + 2 + 8 * number
    return found
