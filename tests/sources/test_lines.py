"""Lines are the same however the bytes arrive, and memory is bounded."""

import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st

from guard.sources.lines import Lines

BYTES = st.binary(max_size=200) | st.text("ab\n\r\u2028", max_size=200).map(str.encode)


def whole(data: bytes, bound: int) -> list[bytes | None]:
    """The complete lines of `data` as the contract says, LF included."""
    return [line + b"\n" if len(line) < bound else None for line in data.split(b"\n")[:-1]]


def single(runs: list[bytes | None]) -> list[bytes | None]:
    """Runs taken apart into lines."""
    lines: list[bytes | None] = []
    for run in runs:
        if run is None:
            lines.append(None)
        else:
            assert run.endswith(b"\n")
            lines += [line + b"\n" for line in run[:-1].split(b"\n")]
    return lines


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
    assert single(heard) == single(one) == whole(data, bound)
    last = data.split(b"\n")[-1]
    assert (lines.rest, lines.skipping) == ((last, False) if len(last) < bound else (b"", True))


def test_only_lf_ends_a_line():
    """NEL, U+2028, CR, VT and FF are bytes like any other."""
    data = "a\u2028b\x85c\rd\x0be\x0cf\n".encode()
    assert Lines().feed(data) == [data]


def test_the_rest_is_kept_for_later():
    """A line that has not ended is not told, and complete when its LF comes."""
    lines = Lines()
    assert lines.feed(b"one\ntw") == [b"one\n"]
    assert lines.rest == b"tw"
    assert lines.feed(b"o\nthree\n") == [b"two\nthree\n"]
    assert lines.rest == b""


def test_a_long_line_is_told_and_its_neighbours_are_whole():
    """A line over the bound is one None, the lines around it are not touched."""
    lines = Lines(10)
    heard = lines.feed(b"a\n" + b"x" * 8) + lines.feed(b"x" * 8) + lines.feed(b"x" * 99 + b"\nb\n")
    assert heard == [b"a\n", None, b"b\n"]


def test_a_line_of_100_mb_takes_no_memory():
    """The bytes of an endless line are not kept."""
    lines, block = Lines(1 << 20), b"x" * (1 << 20)
    tracemalloc.start()
    for _ in range(100):
        assert lines.feed(block) == []
    heard = lines.feed(b"\nnext\n")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert heard == [None, b"next\n"]
    assert peak < 8 << 20
