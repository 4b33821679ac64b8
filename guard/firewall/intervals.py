"""Nested and overlapping CIDR blocks as ranges that do not touch each other, and back. Pure.

An interval set of nftables refuses ranges that overlap. CIDR blocks nest or are apart, so that the
end of every address, the latest end of the blocks that cover it, is exact as a list of ranges: a
/25 that outlives its /24 becomes two ranges with an end each.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from guard.events import Block
from guard.lib.networks import Network

_BITS = {4: 32, 6: 128}
# Two ends that differ by less than this, in seconds, are one: kernels count in ticks or seconds.
SLACK = 2.0
# Ranges are laid with all else in one transaction, which a million elements hold up for seconds.
_LATE = 30.0


class Range(NamedTuple):
    """Addresses from `first` to `last`, both included, blocked until then."""

    first: int
    last: int
    until: float | None


def later(one: float | None, other: float | None) -> float | None:
    """The later end; None is for ever."""
    return None if one is None or other is None else max(one, other)


def outlasts(one: float | None, other: float | None, slack: float = SLACK) -> bool:
    """Whether `one` ends after `other` by more than `slack`."""
    if other is None:
        return False
    return one is None or one > other + slack


def live(block: Iterable[Block], now: float) -> dict[Network, float | None]:
    """The blocks that are not over; of several of one network the last counts."""
    ends = dict(block)
    return {network: until for network, until in ends.items() if until is None or until > now}


def disjoint(blocks: Mapping[Network, float | None]) -> list[Range]:
    """What `blocks`, of one address family, cover, each address until its last block ends."""
    found: list[Range] = []
    open_blocks: list[tuple[int, float | None]] = []
    at = 0
    for network in sorted(blocks):
        until = blocks[network]
        while open_blocks and open_blocks[-1][0] < network.value:
            last, end = open_blocks.pop()
            at = _emit(found, at, last, end)
        if open_blocks:
            outer = open_blocks[-1][1]
            at = _emit(found, at, network.value - 1, outer)
            until = later(until, outer)
        at = network.value
        open_blocks.append((network.last, until))
    while open_blocks:
        last, end = open_blocks.pop()
        at = _emit(found, at, last, end)
    return found


def _emit(found: list[Range], first: int, last: int, until: float | None) -> int:
    """Adds a range unless it is empty, as part of the one before where both end together."""
    if first <= last:
        if found and found[-1].last + 1 == first and found[-1].until == until:
            found[-1] = Range(found[-1].first, last, until)
        else:
            found.append(Range(first, last, until))
    return max(first, last + 1)


def blocks_of(span: Range, version: int) -> Iterator[Network]:
    """The fewest CIDR blocks that are exactly `span`."""
    bits, first = _BITS[version], span.first
    while first <= span.last:
        size = min((first & -first).bit_length() - 1 if first else bits, bits)
        while first + (1 << size) - 1 > span.last:
            size -= 1
        yield Network(version, first, bits - size)
        first += 1 << size


def read_back(
    present: Sequence[Range], wanted: Mapping[Network, float | None], version: int
) -> dict[Network, float | None]:
    """What `present`, the ranges in the kernel, mean in terms of the blocks that were `wanted`.

    A wanted block counts as present when all of it is, until its own end at most. What is there
    and was not wanted, or not for so long, is named by CIDR blocks of its own.
    """
    starts = [span.first for span in present]
    found: dict[Network, float | None] = {}
    for network, until in wanted.items():
        whole, end = _coverage(present, starts, network)
        if whole:
            found[network] = until if end is None or not outlasts(until, end) else end
    for extra in _beyond(present, disjoint(wanted)):
        found.update(dict.fromkeys(blocks_of(extra, version), extra.until))
    return found


def _coverage(
    present: Sequence[Range], starts: Sequence[int], network: Network
) -> tuple[bool, float | None]:
    """Whether all of `network` is present, and the earliest end of its parts."""
    at, end = network.value, None
    for index in range(max(0, bisect_right(starts, network.value) - 1), len(present)):
        span = present[index]
        if span.last < at:
            continue
        if span.first > at:
            return False, None
        ends = [e for e in (end, span.until) if e is not None]
        end, at = min(ends, default=None), span.last + 1
        if at > network.last:
            return True, end
    return False, None


def _beyond(present: Sequence[Range], expected: Sequence[Range]) -> Iterator[Range]:
    """The parts of `present` that nothing in `expected` covers for as long."""
    index = 0
    for span in present:
        at = span.first
        while index < len(expected) and expected[index].last < at:
            index += 1
        probe = index
        while at <= span.last:
            if probe == len(expected) or expected[probe].first > span.last:
                yield Range(at, span.last, span.until)
                break
            first, last, until = expected[probe]
            if at < first:
                yield Range(at, first - 1, span.until)
            if outlasts(span.until, until, _LATE):
                yield Range(max(at, first), min(last, span.last), span.until)
            at, probe = last + 1, probe + 1
