"""The benchmark of the counters: its soak in short, and its end when nobody reads it."""

import os
import subprocess
import sys

import pytest

from benchmarks import counting
from benchmarks.pipes import until_unread

FULL = bool(os.environ.get("GUARD_SOAK"))


def test_memory_levels_off_in_a_day_of_rejections():
    """Ten rejections of each address: all are held, in at most 300 bytes each at the end.

    200 of them with many addresses; the rest is for bans, of which there are a twelfth as many.

    Memory grows by what is held, not by what was heard: the second half of the day adds less than
    the first. In full, ten million of a million addresses, with GUARD_SOAK set.
    """
    addresses = 1_000_000 if FULL else 30_000
    rows = list(counting.soak(10 * addresses, addresses))
    assert [row.rejections for row in rows] == [addresses * n for n in range(1, 11)]
    assert rows[-1].tracked == pytest.approx(addresses, rel=0.01)
    assert rows[-1].bans > 0
    assert rows[-1].memory < max(300 * addresses, 24_000_000)
    assert rows[-1].memory - rows[4].memory < max(rows[4].memory, 12_000_000)


def test_a_benchmark_that_nobody_reads_ends_in_silence():
    """As in `python -m benchmarks.counting | head -0`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.counting", "--rejections", "5000", "--rounds", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    with process.stderr:
        said = process.stderr.read()
    assert (process.wait(120), said) == (0, b"")


def test_only_the_output_may_break():
    """A pipe that breaks within a benchmark is an error like any other."""

    def broken():
        raise BrokenPipeError("a server went away")

    with pytest.raises(BrokenPipeError, match="went away"):
        until_unread(broken)
    assert until_unread(lambda: 3) == 3
    assert until_unread(lambda: None) == 0
