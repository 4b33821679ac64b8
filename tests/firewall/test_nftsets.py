"""Elements are packed with their ends and read back as ranges."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.firewall import nftsets
from guard.firewall.intervals import Range
from guard.firewall.netlink import CREATE, Prepared, attributes


def test_an_end_is_never_rounded_to_for_ever():
    """Zero milliseconds mean for ever to the kernel: a ban about to end is not one."""
    assert nftsets.milliseconds(None, 100.0) == 0
    assert nftsets.milliseconds(100.5, 100.0) == 500
    assert nftsets.milliseconds(100.000001, 100.0) > 0
    assert nftsets.milliseconds(100.0, 100.0) > 0


def test_an_end_beyond_the_kernels_clock_is_for_ever():
    """A thousand years do not fit in the kernel's 64 bits of nanoseconds."""
    century = 100 * 365.25 * 86400
    assert nftsets.milliseconds(century, 0.0) == century * 1000
    assert nftsets.milliseconds(10 * century, 0.0) == 0


def test_many_elements_are_several_messages_within_the_limit():
    """An attribute's length has 16 bits; no list of elements exceeds it."""
    elements = nftsets.keys(((bytes(16), 1000) for _ in range(5000)), 16)
    messages = list(nftsets.change(nftsets.NEW_ELEMENTS, 0, "guard", "s", elements))
    assert len(messages) > 1
    sizes = [len(v) for m in messages for kind, v in attributes(m, 20) if kind == 3]
    assert max(sizes) < 65532
    assert len(sizes) == len(messages)


def test_ranges_are_read_from_their_two_ends():
    """Adjacent ranges share a key; the last one of all may have no end; stray ends are nothing."""
    elements = [
        (b"\x0a\0\2\0", None, True),
        (b"\x0a\0\0\0", 5000, False),
        (b"\x0a\0\1\0", None, True),
        (b"\x0a\0\1\0", None, False),
        (b"\xff\0\0\0", 7000, False),
        (b"\x01\0\0\0", None, True),
    ]
    assert nftsets.spans(elements, 32, 100.0) == [
        Range(0x0A000000, 0x0A0000FF, 105.0),
        Range(0x0A000100, 0x0A0001FF, None),
        Range(0xFF000000, 0xFFFFFFFF, 107.0),
    ]


@pytest.mark.parametrize("size", [4, 16])
@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.binary(min_size=16, max_size=16), st.integers(1, 2**63)), min_size=1))
def test_a_single_element_is_packed_as_among_many(size, pairs):
    """Filled in again and again, with a time and without: what `change` makes, byte for byte."""
    for timed in (False, True):
        single = nftsets.Single("guard", "s", size, timed=timed)
        for key, some in pairs:
            pair = (key[:size], some if timed else 0)
            elements = nftsets.keys([pair], size, renew=True)
            (plain,) = nftsets.change(nftsets.NEW_ELEMENTS, CREATE, "guard", "s", elements)
            assert single.fill(*pair).data == Prepared(nftsets.SUBSYSTEM, plain).data


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.binary(min_size=4, max_size=4), st.integers(1, 2**63)), min_size=1))
def test_hosts_are_packed_as_their_elements_are(pairs):
    """All at once, to the byte."""
    packed = nftsets.hosts(b"".join(key for key, _ in pairs), [left for _, left in pairs])
    assert packed == b"".join(nftsets.keys(pairs, 4, renew=True))


def test_many_hosts_are_several_messages_within_the_limit():
    """As many elements are."""
    keys = b"".join(number.to_bytes(4, "big") for number in range(5000))
    messages = list(nftsets.add_hosts("guard", "s", keys, [1000] * 5000))
    lists = [v for m in messages for kind, v in attributes(m, 20) if kind == 3]
    assert max(map(len, lists)) < 65532
    pairs = [(number.to_bytes(4, "big"), 1000) for number in range(5000)]
    assert b"".join(lists) == b"".join(nftsets.keys(pairs, 4, renew=True))


@pytest.mark.parametrize("odd", [100.0, 99.0, 100.01, 1e12])
def test_an_odd_end_has_all_of_them_packed_one_by_one(odd: float):
    """What is over, nearly over, or beyond the kernel's clock."""
    assert nftsets.all_milliseconds([101.0, 102.5], 100.0) == [1000, 2500]
    assert nftsets.all_milliseconds([101.0, odd], 100.0) is None
