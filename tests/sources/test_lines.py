"""Lines are the same however the bytes arrive, and memory is bounded."""

import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st

from guard.sources.lines import Lines

BYTES = st.binary(max_size=200) | st.text("ab\n\r\u2028", max_size=200).map(str.encode)


def whole(data: bytes, bound: int) -> list[bytes | None]:
    """The complete lines of `data` as the contract says."""
    return [line if len(line) <= bound else None for line in data.split(b"\n")[:-1]]


@settings(deadline=None, max_examples=300)
@given(BYTES, st.integers(1, 50), st.lists(st.integers(0, 60), max_size=8))
def test_any_cut_gives_the_same_lines(data, bound, cuts):
    """Whole, byte by byte or in any blocks: the lines are those between LFs."""
    lines, heard, at = Lines(bound), [], 0
    for cut in [*cuts, len(data)]:
        heard += lines.feed(data[at : at + cut])
        at += cut
    singly, one = Lines(bound), []
    for i in range(len(data)):
        one += singly.feed(data[i : i + 1])
    assert heard == one == whole(data, bound)
    assert lines.count == len(heard)
    assert lines.pending == (not data.endswith(b"\n") and bool(data))


def test_only_lf_ends_a_line():
    """NEL, U+2028, CR, VT and FF are bytes like any other."""
    data = "a\u2028b\x85c\rd\x0be\x0cf".encode()
    assert Lines().feed(data + b"\n") == [data]


def test_the_rest_is_kept_for_later():
    """A line that has not ended is pending, and complete when its LF comes."""
    lines = Lines()
    assert lines.feed(b"one\ntw") == [b"one"]
    assert (lines.rest, lines.pending) == (b"tw", True)
    assert lines.feed(b"o\n") == [b"two"]
    assert (lines.rest, lines.pending) == (b"", False)


def test_a_long_line_is_told_and_its_neighbours_are_whole():
    """A line over the bound is one None, the lines around it are not touched."""
    lines = Lines(10)
    heard = lines.feed(b"a\n" + b"x" * 8) + lines.feed(b"x" * 8) + lines.feed(b"x" * 99 + b"\nb\n")
    assert heard == [b"a", None, b"b"]


def test_a_line_of_100_mb_takes_no_memory():
    """The bytes of an endless line are not kept."""
    lines, block = Lines(1 << 20), b"x" * (1 << 20)
    tracemalloc.start()
    for _ in range(100):
        assert lines.feed(block) == []
    heard = lines.feed(b"\nnext\n")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert heard == [None, b"next"]
    assert peak < 8 << 20
