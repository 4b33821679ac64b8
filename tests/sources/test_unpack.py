"""Packed bytes come out whole, in any cut, however large, and damage is told."""

import gzip
import tracemalloc
import zlib
from functools import cache

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.sources.unpack import HEAD, Damaged, unpacker_for

PACK = {"plain": bytes, "gzip": gzip.compress, "zstd": zstandard.compress}


def unpack(data: bytes, step: int) -> bytes:
    """`data` unpacked in blocks of `step` bytes."""
    out: list[bytes] = []
    unpacker = unpacker_for(data[:HEAD])
    for at in range(0, len(data), step):
        unpacker.feed(data[at : at + step], out.append)
    return b"".join(out)


@pytest.mark.parametrize("how", PACK)
@settings(deadline=None, max_examples=40)
@given(st.lists(st.binary(max_size=2000), min_size=1, max_size=4), st.integers(1, 700))
def test_any_cut_gives_the_same_bytes(how, parts, step):
    """Frames and members that follow one another are one stream, whatever the blocks."""
    if how == "plain":
        parts = [b"plain", *parts]
    assert unpack(b"".join(map(PACK[how], parts)), step) == b"".join(parts)


@cache
def a_stream(how: str) -> bytes:
    """Lines, then something that packs a thousandfold."""
    lines = b"".join(b'{"number":%d,"text":"%d"}\n' % (i, i * i) for i in range(20_000))
    return PACK[how](lines + bytes(3 << 20))


def everything(how: str, data: bytes) -> bytes:
    """All that can be read of the beginning `data` of a stream, by the libraries' own means."""
    if how == "zstd":
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return zlib.decompressobj(wbits=31).decompress(data)


@pytest.mark.parametrize("how", ["gzip", "zstd"])
@settings(deadline=None, max_examples=30)
@given(st.data())
def test_nothing_readable_stays_inside(how, data):
    """Whatever part of a file has been written: all of it that can be read is passed on."""
    packed = a_stream(how)
    end, step = data.draw(st.integers(HEAD, len(packed))), data.draw(st.integers(100, 20_000))
    assert unpack(packed[:end], step) == everything(how, packed[:end])


@settings(deadline=None, max_examples=300)
@given(st.sampled_from([b"", b"\x28\xb5\x2f\xfd", b"\x1f\x8b\x08"]), st.binary(max_size=300))
def test_any_bytes_are_unpacked_or_damaged(head, data):
    """No bytes raise anything but Damaged."""
    try:
        unpack(head + data, 64)
    except Damaged:
        assert head


@pytest.mark.parametrize("how", ["gzip", "zstd"])
def test_damage_keeps_what_was_good(how):
    """What came before the damage is passed on."""
    out: list[bytes] = []
    data = PACK[how](b"good\n" * 100_000) + PACK[how](b"lost\n" * 1000)[:12] + b"\xff" * 64
    unpacker = unpacker_for(data[:HEAD])
    with pytest.raises(Damaged, match=how):
        unpacker.feed(data, out.append)
    assert b"".join(out).startswith(b"good\n" * 100_000)


@pytest.mark.parametrize("how", ["gzip", "zstd"])
def test_a_bomb_takes_no_memory(how):
    """A gigabyte out of a few kilobytes is passed on in pieces."""
    once = PACK[how](b"\0" * (1 << 26))
    total, largest = 0, 0

    def take(piece: bytes) -> None:
        nonlocal total, largest
        total, largest = total + len(piece), max(largest, len(piece))

    unpacker = unpacker_for(once[:HEAD])
    tracemalloc.start()
    for _ in range(4):
        unpacker.feed(once, take)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 4 << 26
    assert largest <= 1 << 20
    assert peak < 16 << 20
