"""Nested blocks become ranges that mean the same, address by address."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from guard.firewall.intervals import (
    Range,
    blocks_of,
    disjoint,
    later,
    outlasts,
    read_back,
)
from guard.lib.networks import Network
from guard.lib.networks import parse_network as net

# A corner of the address space at each of its ends, small enough to try every address.
_BASES = {4: (0, 0x0A000000, 0xFFFFFFC0), 6: (0, 0x20010DB8 << 96, (1 << 128) - 64)}
_ENDS = st.one_of(st.none(), st.sampled_from([100.0, 200.0, 300.0, 400.0]))


@st.composite
def _block(draw, version: int) -> Network:
    base = draw(st.sampled_from(_BASES[version]))
    bits = 32 if version == 4 else 128
    length = draw(st.integers(bits - 6, bits))
    return Network(version, base + draw(st.integers(0, 63)), bits).supernet(length)


def _blocks(version: int):
    return st.dictionaries(_block(version), _ENDS, max_size=12)


def _addresses(version: int) -> list[int]:
    return [base + offset for base in _BASES[version] for offset in range(64)]


def _end_by_blocks(blocks, version: int, value: int):
    """(blocked, end) of an address, asked of every block."""
    bits = 32 if version == 4 else 128
    ends = [until for net, until in blocks.items() if net.covers(Network(version, value, bits))]
    if not ends:
        return None
    return (None,) if None in ends else (max(ends),)


def _end_by_ranges(ranges, value: int):
    hits = [(span.until,) for span in ranges if span.first <= value <= span.last]
    assert len(hits) <= 1
    return hits[0] if hits else None


@settings(deadline=None, max_examples=150)
@given(st.sampled_from([4, 6]).flatmap(lambda v: st.tuples(st.just(v), _blocks(v))))
def test_ranges_mean_what_the_blocks_mean(case):
    """Every address is in at most one range, whose end is the last of its blocks."""
    version, blocks = case
    ranges = disjoint(blocks)
    assert ranges == sorted(ranges, key=lambda span: span.first)
    for value in _addresses(version):
        assert _end_by_ranges(ranges, value) == _end_by_blocks(blocks, version, value)


@settings(deadline=None, max_examples=150)
@given(st.sampled_from([4, 6]).flatmap(lambda v: st.tuples(st.just(v), _blocks(v))))
def test_what_was_laid_is_read_back_as_it_was_wanted(case):
    """Laid and read back, nested blocks are the same blocks with the same ends."""
    version, blocks = case
    assert read_back(disjoint(blocks), blocks, version) == blocks


@settings(deadline=None, max_examples=150)
@given(_blocks(4), _blocks(4))
def test_what_differs_is_seen(wanted, present):
    """When another set is in the kernel, some wanted block is short or some other is named."""
    found = read_back(disjoint(present), wanted, 4)
    same = disjoint(present) == disjoint(wanted)
    assert (found == wanted) == same
    for value in _addresses(4):
        inside = [n for n in found if n.covers(Network(4, value, 32))]
        if inside:
            assert _end_by_blocks(present, 4, value) is not None


@settings(deadline=None, max_examples=100)
@given(st.integers(0, (1 << 32) - 1), st.integers(0, (1 << 32) - 1))
def test_any_range_is_a_few_blocks(one, other):
    """The blocks of a range follow each other without a gap, and are few."""
    span = Range(min(one, other), max(one, other), None)
    blocks = list(blocks_of(span, 4))
    assert blocks[0].value == span.first
    assert blocks[-1].last == span.last
    assert all(a.last + 1 == b.value for a, b in pairwise(blocks))
    assert len(blocks) <= 62


def test_a_longer_ban_within_a_shorter_one_is_kept():
    """The /25 that outlives its /24 is a range of its own."""
    blocks = {net("192.0.2.0/24"): 100.0, net("192.0.2.128/25"): 500.0}
    first = net("192.0.2.0").value
    assert disjoint(blocks) == [
        Range(first, first + 127, 100.0),
        Range(first + 128, first + 255, 500.0),
    ]


def test_a_gap_is_missing_and_a_stranger_is_named():
    """Half a wanted block is not that block; the half is reported as what it is."""
    wanted = {net("192.0.2.0/24"): None}
    half = disjoint({net("192.0.2.0/25"): None, net("10.0.0.0/8"): 50.0})
    found = read_back(half, wanted, 4)
    assert net("192.0.2.0/24") not in found
    assert found[net("10.0.0.0/8")] == 50.0


def test_an_end_that_differs_is_reported_as_the_kernel_has_it():
    """Sooner than wanted or later, the kernel's end is told, so that it can be put right."""
    wanted = {net("192.0.2.0/24"): 500.0}
    for end in (100.0, 900.0, None):
        present = disjoint({net("192.0.2.0/24"): end})
        assert read_back(present, wanted, 4) == {net("192.0.2.0/24"): end}


def test_ends_compare_with_for_ever_as_the_latest():
    """None is later than any number, and small differences are none."""
    assert later(None, 5.0) is None
    assert later(3.0, 5.0) == 5.0
    assert outlasts(None, 5.0)
    assert not outlasts(5.0, None)
    assert not outlasts(None, None)
    assert not outlasts(6.0, 5.0)
    assert outlasts(60.0, 5.0)
