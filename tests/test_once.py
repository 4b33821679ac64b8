"""Each rejection counts exactly once, whoever is killed: the short form of benchmarks/once.py."""

import shutil

import pytest
from support import need

from benchmarks.once import race

# One after another: each runs three processes of its own.
pytestmark = pytest.mark.xdist_group("once")


@pytest.mark.parametrize(
    ("way", "shared"),
    [
        ("log", False),
        ("kumomta-log", False),
        ("webhook", False),
        pytest.param("log", True, marks=pytest.mark.redis),
        pytest.param("stream", True, marks=pytest.mark.redis),
    ],
)
def test_each_record_counts_once_over_two_dozen_kills(way, shared):
    """Writers, daemons and Redis end at any moment; counts, bans and bans of bans are exact."""
    need(not shared or shutil.which("redis-server") is not None, "redis-server")
    said: list[str] = []
    failed = race(
        way,
        records=6_000,
        seconds=7.0,
        kills=26,
        shared=shared,
        say=said.append,
    )
    assert not failed, "\n".join(said)
