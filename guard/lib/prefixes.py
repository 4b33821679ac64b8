"""Sets of networks as sorted integer ranges: collapse, subtract, look up.

A range is (first, last), both included. Sets hold them sorted and disjoint, one list per IP
version, so that a look-up is one bisection however many networks there are. Values are immutable:
a change is a new set, and whoever reads the old one goes on reading it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

from guard.lib.networks import Network, parse_address, parse_network

Range = tuple[int, int]
_BITS = {4: 32, 6: 128}


def _packed(networks: Iterable[Network], version: int) -> list[int]:
    """The ranges of one IP version, as `_merge` takes them."""
    bits = _BITS[version]
    # Most networks of a long list are addresses: for them hardly anything is worked out.
    return [
        value << bits | (value if length == bits else value | (1 << bits - length) - 1)
        for each, value, length in networks
        if each == version
    ]


def _merge(packed: list[int], bits: int) -> list[Range]:
    """Sorted ranges, with those that overlap or touch made one.

    `packed` are ranges as one integer each, first above last, which sort at a third of the cost.
    """
    merged: list[Range] = []
    mask, end = (1 << bits) - 1, -2
    for pair in sorted(packed):
        first, last = pair >> bits, pair & mask
        if first > end + 1:
            merged.append((first, last))
            end = last
        elif last > end:
            merged[-1] = (merged[-1][0], last)
            end = last
    return merged


def _without(ranges: Sequence[Range], minus: Sequence[Range]) -> list[Range]:
    """`ranges` less `minus`; both sorted and disjoint, and so is the answer."""
    left: list[Range] = []
    at = 0
    for first, last in ranges:
        while at < len(minus) and minus[at][1] < first:
            at += 1
        begin, probe = first, at
        while begin <= last and probe < len(minus) and minus[probe][0] <= last:
            if minus[probe][0] > begin:
                left.append((begin, minus[probe][0] - 1))
            begin = minus[probe][1] + 1
            probe += 1
        if begin <= last:
            left.append((begin, last))
    return left


def span(version: int, first: int, last: int) -> Iterator[Network]:
    """The fewest CIDR blocks that are exactly the addresses `first` to `last`."""
    bits = _BITS[version]
    while first <= last:
        # Widest by alignment (the lowest set bit), and not beyond the last address.
        size = min((first & -first).bit_length() - 1 if first else bits, bits)
        size = min(size, (last - first + 1).bit_length() - 1)
        yield Network(version, first, bits - size)
        first += 1 << size


class Prefixes:
    """An immutable set of addresses, made of networks; it iterates as the fewest CIDR blocks."""

    __slots__ = ("_ends", "_ranges", "_starts")

    def __init__(self, networks: Iterable[Network] = ()) -> None:
        some = networks if isinstance(networks, list | tuple | set) else list(networks)
        self._set({4: _merge(_packed(some, 4), 32), 6: _merge(_packed(some, 6), 128)})

    def _set(self, ranges: dict[int, list[Range]]) -> None:
        self._ranges = ranges
        self._starts = {version: [r[0] for r in some] for version, some in ranges.items()}
        self._ends = {version: [r[1] for r in some] for version, some in ranges.items()}

    def covers(self, network: Network) -> bool:
        """Whether every address of `network` is in the set."""
        version, value, length = network
        starts = self._starts[version]
        if not starts:
            return False
        at = bisect_right(starts, value) - 1
        last = value if length == _BITS[version] else network.last
        return at >= 0 and self._ends[version][at] >= last

    def overlaps(self, network: Network) -> bool:
        """Whether any address of `network` is in the set."""
        version = network.version
        starts = self._starts[version]
        if not starts:
            return False
        at = bisect_right(starts, network.last) - 1
        return at >= 0 and self._ends[version][at] >= network.value

    def minus(self, other: Prefixes) -> Prefixes:
        """What is in this set and not in `other`."""
        made = Prefixes()
        made._set({v: _without(some, other._ranges[v]) for v, some in self._ranges.items()})
        return made

    def addresses(self, version: int) -> int:
        """How many addresses of an IP version are in the set."""
        return sum(last - first + 1 for first, last in self._ranges[version])

    def __iter__(self) -> Iterator[Network]:
        for version, ranges in self._ranges.items():
            bits = _BITS[version]
            for first, last in ranges:
                if first == last:
                    yield Network(version, first, bits)
                else:
                    yield from span(version, first, last)

    def __bool__(self) -> bool:
        return any(self._ranges.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Prefixes) and self._ranges == other._ranges

    def __hash__(self) -> int:
        return hash(tuple(tuple(some) for some in self._ranges.values()))

    def __repr__(self) -> str:
        return f"Prefixes({', '.join(map(str, self))})"


def collapse(networks: Iterable[Network]) -> list[Network]:
    """The fewest blocks that hold exactly the same addresses, sorted, IPv4 first."""
    return list(Prefixes(networks))


def subtract(networks: Iterable[Network], minus: Iterable[Network] | Prefixes) -> list[Network]:
    """The fewest blocks that hold the addresses of `networks` which are not in `minus`."""
    less = minus if isinstance(minus, Prefixes) else Prefixes(minus)
    return list(Prefixes(networks).minus(less))


class PrefixMap:
    """An immutable mapping from networks to a text; of networks that overlap, the first named wins.

    Built by cutting all networks at each other's borders, so that a look-up is one bisection.
    """

    __slots__ = ("_ends", "_starts", "_texts")

    def __init__(self, entries: Iterable[tuple[Network, str]] = ()) -> None:
        self._starts: dict[int, list[int]] = {4: [], 6: []}
        self._ends: dict[int, list[int]] = {4: [], 6: []}
        self._texts: dict[int, list[str]] = {4: [], 6: []}
        named: dict[int, list[tuple[int, int, int, str]]] = {4: [], 6: []}
        for rank, (network, text) in enumerate(entries):
            named[network.version].append((network.value, network.last, rank, text))
        for version, some in named.items():
            for first, last, text in _cut(some):
                self._starts[version].append(first)
                self._ends[version].append(last)
                self._texts[version].append(text)

    def find(self, network: Network) -> str | None:
        """The text of the first network that shares an address with `network`, or None.

        "First" is by address where `network` is wider than what it meets.
        """
        version, value, length = network
        starts = self._starts[version]
        if not starts:
            return None
        at = bisect_right(starts, value) - 1
        if at >= 0 and self._ends[version][at] >= value:
            return self._texts[version][at]
        if length == _BITS[version]:
            return None
        at += 1
        if at < len(starts) and starts[at] <= network.last:
            return self._texts[version][at]
        return None

    def within(self, network: Network) -> Iterator[tuple[Network, str]]:
        """The parts of `network` that are in the map, as blocks, with their text."""
        version, value, last = network.version, network.value, network.last
        starts, ends = self._starts[version], self._ends[version]
        at = max(bisect_right(starts, value) - 1, 0)
        while at < len(starts) and starts[at] <= last:
            first, end = max(starts[at], value), min(ends[at], last)
            for block in span(version, first, end):
                yield block, self._texts[version][at]
            at += 1

    def __len__(self) -> int:
        return sum(map(len, self._starts.values()))


def _cut(named: list[tuple[int, int, int, str]]) -> Iterator[tuple[int, int, str]]:
    """Disjoint pieces (first, last, text) of CIDR ranges that may nest; the lowest rank shows.

    CIDR blocks nest or are apart, so a stack of the open ones, each with the best rank of all
    that enclose it, is enough.
    """
    stack: list[tuple[int, int, str]] = []  # (last, rank, text), the innermost at the end
    at = 0
    for first, last, rank, text in sorted(named, key=lambda n: (n[0], -n[1], n[2])):
        while stack and stack[-1][0] < first:
            end, _, shown = stack.pop()
            if at <= end:
                yield at, end, shown
                at = end + 1
        if stack and at < first:
            yield at, first - 1, stack[-1][2]
        at = first
        better = stack and stack[-1][1] < rank
        stack.append((last, *(stack[-1][1:] if better else (rank, text))))
    while stack:
        end, _, shown = stack.pop()
        if at <= end:
            yield at, end, shown
            at = end + 1


def parse_networks(text: str) -> list[Network]:
    """The blocks that `text` names: an address, a CIDR block or a range `first-last`.

    Raises ValueError; a range must not end before it begins, nor mix IP versions.
    """
    first, dash, last = text.partition("-")
    if not dash:
        return [parse_network(text)]
    low, high = parse_address(first.strip()), parse_address(last.strip())
    if low.version != high.version or low.value > high.value:
        raise ValueError(f"{text!r} is not a range: it must begin with the lower address")
    return list(span(low.version, low.value, high.value))
