"""What one call of count.lua is asked: offences summed per address, addresses per table.

What is counted lies in tables (docs/redis.md): hashes of many addresses, one for each of 64 slots,
each length of time that jails keep what they share (a power of two of seconds, `bits`), and each
such length of time that has passed since the epoch (a generation). An address is in the table of
its newest rejection: a call looks a generation back and one ahead of the times it brings.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from math import ceil
from operator import itemgetter
from socket import inet_ntoa
from struct import iter_unpack, pack, unpack
from typing import Any, NamedTuple, cast
from zlib import crc32

import msgspec

from guard.events import JOIN, Overflow, Part, Window
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
    """What is asked of the networks of one slot; the offences of each, and all in that order."""

    texts: list[str]
    order: list[Which]
    rules: list[int]
    numbers: list[Any]
    flat: list[int]


class Call:
    """What the script is to be asked, and what its answer means.

    There may be thousands of offences, most of an address that has no other. So in the common case
    what can be done for all at once is not done for each.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self._offences = [offence for part in parts for offence in part.offences]
        columns = list(zip(*self._offences, strict=True)) or [(), (), (), ()]
        _, self._networks, self._times, self._rejections = columns
        self._rules: list[Rule] = []
        self._bits: list[int] = [0]  # of each rule
        self._jails: dict[str, list[str]] = {}
        self._numbers: list[int] = []  # the rule of each
        for part in parts:
            self._take(part)
        # The common case: all are of one rule and one rejection each, in order of time.
        alike = len(self._rules) == 1 and set(self._rejections) == {1}
        self._alike = alike and sorted(self._times) == list(self._times)
        self._order: list[Which] = []
        self._flat: list[int] = []
        self.keys: list[str] = []
        chunks = [chunk for bits, some in self._shelves() for chunk in self._chunks(bits, some)]
        times = [self._times[i] for i in self._flat]
        self.arguments = _pack((self._rules, chunks)), pack(f"<{len(times)}d", *times)

    def _take(self, part: Part) -> None:
        """Notes by which rules a part is asked."""
        rules: dict[str, int] = {}
        names = [offence[0] for offence in part.offences]
        for name in set(names):
            self._jails[name] = name.split(JOIN)
            rule: Rule = [name]
            for jail in self._jails[name]:
                maxretry, findtime, _ = part.windows[jail]
                rule += [jail, maxretry, float(findtime)]
            self._rules.append(rule)
            self._bits.append(bits_of(part.windows[self._jails[name][0]]))
            rules[name] = len(self._rules)
        self._numbers += map(rules.__getitem__, names)

    def _shelves(self) -> Iterator[tuple[int, Sequence[int]]]:
        """The indices of offences by bits, in order; each row within two generations."""
        bits, numbers = self._bits, self._numbers
        for each in sorted(set(bits[1:])):
            some: Sequence[int] = range(len(numbers))
            if len(set(bits[1:])) > 1:
                some = [i for i in some if bits[numbers[i]] == each]
            yield from ((each, row) for row in self._rows(some, 2**each))

    def _rows(self, some: Sequence[int], span: int) -> Iterator[Sequence[int]]:
        times = [self._times[i] for i in some]
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

    def _chunks(self, bits: int, some: Sequence[int]) -> Iterator[tuple[Any, ...]]:
        """What each table is asked; keys, times and the order of networks on the way."""
        times = [self._times[i] for i in some]
        first, last = int(min(times) // 2**bits) - 1, int(max(times) // 2**bits) + 1
        names = [f":{bits}:{generation}" for generation in range(first, last + 1)]
        for slot, asked in self._by_slot(some):
            index = index_key(slot)
            self.keys += [index, *(index + name for name in names)]
            self._order += asked.order
            self._flat += asked.flat
            yield len(names), bits, first, asked.texts, _same(asked.rules), _same(asked.numbers)

    def _by_slot(self, some: Sequence[int]) -> Iterator[tuple[int, _Asked]]:
        found = self._by_network(some)
        texts = _texts(found)
        # No tuple for each: the garbage collector would look at thousands.
        slots: list[tuple[list[str], list[Which]]] = [([], []) for _ in range(SLOTS)]
        sums = map(crc32, map(str.encode, texts))
        for checksum, text, which in zip(sums, texts, found.values(), strict=True):
            some_texts, order = slots[checksum % SLOTS]
            some_texts.append(text)
            order.append(which)
        for number, slot in enumerate(slots):
            if slot[0]:
                yield number, self._asked(*slot)

    def _by_network(self, some: Sequence[int]) -> dict[Network, Which]:
        """The index of each network's only offence, or of all."""
        found: dict[Network, Which] = {}
        for i, network in zip(some, [self._networks[i] for i in some], strict=True):
            held = found.setdefault(network, i)
            if type(held) is list:
                held.append(i)
            elif held != i:
                found[network] = [cast("int", held), i]
        return found

    def _asked(self, texts: list[str], order: list[Which]) -> _Asked:
        """The columns of what is asked of one slot."""
        if self._alike:
            each = ([which] if isinstance(which, int) else which for which in order)
            numbers = [1 if isinstance(which, int) else len(which) for which in order]
            return _Asked(texts, order, [1], numbers, list(chain.from_iterable(each)))
        asked = _Asked(texts, order, [], [], [])
        for which in order:
            if isinstance(which, int) and self._rejections[which] == 1:
                asked.rules.append(self._numbers[which])
                asked.numbers.append(1)
                asked.flat.append(which)
            else:
                self._several(asked, [which] if isinstance(which, int) else which)
        return asked

    def _several(self, asked: _Asked, which: list[int]) -> None:
        """Rule and times of one network, or 0 and each with its own rule."""
        times = [self._times[i] for i in which]
        rejections = [self._rejections[i] for i in which]
        rules = {self._numbers[i] for i in which}
        if set(rejections) == {1} and len(rules) == 1 and sorted(times) == times:
            asked.rules.extend(rules)
            asked.numbers.append(len(times))
            asked.flat.extend(which)
            return
        items: list[int | float] = []
        for i, time, number in zip(which, times, rejections, strict=True):
            items += (self._numbers[i], time, number)
        asked.rules.append(0)
        asked.numbers.append(items)

    def filled(self, answer: Sequence[int]) -> list[tuple[int, Overflow]]:
        """The windows that filled, each with the index of its offence, in the order of those."""
        found: list[tuple[int, Overflow]] = []
        order, offences, jails, new = self._order, self._offences, self._jails, tuple.__new__
        for at, which, jail, total in zip(*[iter(answer)] * 4, strict=True):
            index = order[at - 1]
            if type(index) is list:
                index = index[which - 1]
            name, network, time, _ = offences[cast("int", index)]
            overflow = new(Overflow, (jails[name][jail - 1], network, time, total))
            found.append((cast("int", index), overflow))
        found.sort(key=itemgetter(0))
        return found


def _texts(networks: Collection[Network]) -> list[str]:
    """text_of each, faster where all are addresses of IPv4."""
    if {version + length for version, _, length in networks} != {36}:
        return list(map(text_of, networks))
    packed = pack(f">{len(networks)}I", *[network[1] for network in networks])
    return list(map(inet_ntoa, unpack("4s" * len(networks), packed)))


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
