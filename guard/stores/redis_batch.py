"""What one call of count.lua is asked: offences summed per address, addresses per table.

What is counted lies in tables (docs/redis.md): hashes of many addresses, one for each of 64 slots,
each length of time that jails keep what they share (a power of two of seconds, `bits`), and each
such length of time that has passed since the epoch (a generation). An address is in the table of
its newest rejection: a call looks a generation back and one ahead of the times it brings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import starmap
from math import ceil
from operator import itemgetter
from socket import inet_ntoa
from struct import iter_unpack, pack
from typing import Any, NamedTuple, cast
from zlib import crc32

import msgspec

from guard.events import JOIN, Offence, Overflow, Part, Window
from guard.jails.window import span_of
from guard.lib.networks import Network

_pack = msgspec.msgpack.Encoder().encode

Rule = list[str | int | float]
# Which offences are one network's: the index of the only one, or of all.
Which = int | list[int]


SLOTS = 64


def text_of(network: Network) -> str:
    """What str() gives, in a third of the time for what most networks are."""
    version, value, length = network
    return inet_ntoa(value.to_bytes(4, "big")) if version + length == 36 else str(network)


def slot_of(text: str) -> int:
    """In which of the 64 slots a network is."""
    return crc32(text.encode()) % SLOTS


def index_key(slot: int) -> str:
    """The key that names the tables of a slot, and that theirs begin with."""
    return f"guard:hits:{{{slot:02x}}}"


def bits_of(window: Window) -> int:
    """How long what a jail counts is kept, as a power of two of seconds."""
    return max(0, (ceil(span_of(window)) - 1).bit_length())


class _Asked(NamedTuple):
    """What is asked of the networks of one slot."""

    texts: list[str]
    order: list[tuple[Network, Which]]
    rules: list[int]
    numbers: list[Any]
    times: list[float]


class Call:
    """What the script is to be asked, and what its answer means."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._offences: list[Offence] = []
        self._numbers: list[int] = []  # the rule of each
        self._rules: list[Rule] = []
        self._bits: list[int] = [0]  # of each rule
        self._order: list[tuple[Network, Which]] = []
        self._times: list[float] = []
        self.keys: list[str] = []
        for part in parts:
            self._take(part)
        # Each stands for one rejection: the common case.
        self._plain = {offence[3] for offence in self._offences} == {1}
        chunks = [chunk for bits, some in self._shelves() for chunk in self._chunks(bits, some)]
        packed = pack(f"<{len(self._times)}d", *self._times)
        self.arguments = _pack((self._rules, chunks)), packed

    def _take(self, part: Part) -> None:
        """Notes what is asked, and by which rules."""
        rules: dict[str, int] = {}
        for name in {offence[0] for offence in part.offences}:
            rule: Rule = [name]
            for jail in name.split(JOIN):
                maxretry, findtime, _ = part.windows[jail]
                rule += [jail, maxretry, float(findtime)]
            self._rules.append(rule)
            self._bits.append(bits_of(part.windows[name.partition(JOIN)[0]]))
            rules[name] = len(self._rules)
        self._offences += part.offences
        self._numbers += [rules[offence[0]] for offence in part.offences]

    def _shelves(self) -> Iterator[tuple[int, list[int]]]:
        """The indices of offences by bits, in order; each row within two generations."""
        bits, numbers = self._bits, self._numbers
        for each in sorted({bits[number] for number in set(numbers)}):
            some = [i for i, number in enumerate(numbers) if bits[number] == each]
            yield from ((each, row) for row in self._rows(some, 2**each))

    def _rows(self, some: list[int], span: int) -> Iterator[list[int]]:
        offences = self._offences
        times = [offences[i][2] for i in some]
        if max(times) // span - min(times) // span <= 1:
            yield some
            return
        row: list[int] = []
        first = last = times[0] // span
        for i, time in zip(some, times, strict=True):
            first, last = min(first, time // span), max(last, time // span)
            if last - first > 1:
                yield row
                row, first, last = [], time // span, time // span
            row.append(i)
        yield row

    def _chunks(self, bits: int, some: list[int]) -> Iterator[tuple[Any, ...]]:
        """What each table is asked; keys, times and the order of networks on the way."""
        times = [self._offences[i][2] for i in some]
        first, last = int(min(times) // 2**bits) - 1, int(max(times) // 2**bits) + 1
        names = [f":{bits}:{generation}" for generation in range(first, last + 1)]
        for slot, asked in self._by_slot(some):
            index = index_key(slot)
            self.keys += [index, *(index + name for name in names)]
            self._order += asked.order
            self._times += asked.times
            yield len(names), bits, first, asked.texts, _same(asked.rules), _same(asked.numbers)

    def _by_slot(self, some: list[int]) -> Iterator[tuple[int, _Asked]]:
        slots: list[list[tuple[str, Network, Which]]] = [[] for _ in range(SLOTS)]
        for network, which in self._by_network(some).items():
            version, value, length = network
            # text_of and slot_of, without the calls.
            text = inet_ntoa(value.to_bytes(4, "big")) if version + length == 36 else str(network)
            slots[crc32(text.encode()) % SLOTS].append((text, network, which))
        for slot, rows in enumerate(slots):
            if rows:
                yield slot, self._asked(rows)

    def _asked(self, rows: list[tuple[str, Network, Which]]) -> _Asked:
        """The columns of what is asked of one slot."""
        texts, order = [row[0] for row in rows], [row[1:] for row in rows]
        single = [which for _, which in order if type(which) is int]
        if self._plain and len(single) == len(rows):
            times = [self._offences[which][2] for which in single]
            rules = [self._numbers[which] for which in single]
            return _Asked(texts, order, rules, [1] * len(rows), times)
        asked = _Asked(texts, order, [], [], [])
        for _, which in order:
            self._several(asked, [which] if isinstance(which, int) else which)
        return asked

    def _by_network(self, some: list[int]) -> dict[Network, Which]:
        found: dict[Network, Which] = {}
        offences = self._offences
        for i, network in zip(some, [offences[i][1] for i in some], strict=True):
            held = found.setdefault(network, i)
            if type(held) is list:
                held.append(i)
            elif held != i:
                found[network] = [cast("int", held), i]
        return found

    def _several(self, asked: _Asked, which: list[int]) -> None:
        """Rule and times of one network, or 0 and each with its own rule."""
        times = [self._offences[i][2] for i in which]
        rules = {self._numbers[i] for i in which}
        plain = self._plain or {self._offences[i][3] for i in which} == {1}
        if plain and len(rules) == 1 and sorted(times) == times:
            asked.rules.extend(rules)
            asked.numbers.append(len(times))
            asked.times.extend(times)
            return
        items: list[int | float] = []
        for i, time in zip(which, times, strict=True):
            items += (self._numbers[i], time, self._offences[i][3])
        asked.rules.append(0)
        asked.numbers.append(items)

    def filled(self, answer: Sequence[int]) -> list[tuple[int, Overflow]]:
        """The windows that filled, each with the index of its offence, in the order of those."""
        found = starmap(self._filled, zip(*[iter(answer)] * 4, strict=True))
        return sorted(found, key=itemgetter(0))

    def _filled(self, at: int, which: int, jail: int, total: int) -> tuple[int, Overflow]:
        network, indices = self._order[at - 1]
        index = indices if isinstance(indices, int) else indices[which - 1]
        name, _, time, _ = self._offences[index]
        return index, Overflow(name.split(JOIN)[jail - 1], network, time, total)


def _same(values: list[Any]) -> Any:
    """The one value that is everywhere, or all; 0 is the rule of lists."""
    first = values[0]
    return (
        first if isinstance(first, int) and first and values.count(first) == len(values) else values
    )


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
