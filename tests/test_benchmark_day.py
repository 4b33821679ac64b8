"""The made-up day of log is what it says: so many records, of all types, the same every time."""

import json
from collections import Counter

import zstandard

from benchmarks import day
from guard.filters.hear import TYPES


def test_a_day_has_all_types_in_order_and_exactly_as_many_as_asked():
    """Every type of record that mail makes, sorted by time, each line whole JSON."""
    records = [json.loads(line) for line in day.lines(20_000, seed=3)]
    assert len(records) == 20_000
    assert {record["type"] for record in records} == TYPES - {"Authentication"}
    times = [record["event_time"] for record in records]
    assert times == sorted(times)


def test_all_sorts_of_peers_are_in_it():
    """Busy scanners, slow ones every 20 minutes, many that come once, and honest mistakes."""
    refused = Counter(
        record["peer_address"]["addr"]
        for record in map(json.loads, day.lines(20_000, seed=3))
        if record["type"] == "Rejection"
    )
    assert sum(count > 300 for address, count in refused.items() if address < "11.22.1") >= 1
    assert {count for a, count in refused.items() if a.startswith("11.22.7.")} == {72}
    assert sum(count <= 3 for count in refused.values()) > 300
    assert any(address.startswith("11.77.") for address in refused)
    assert any(":" in address for address in refused)


def test_a_seed_gives_the_same_bytes_plain_or_packed(tmp_path):
    """Two runs agree, and a packed log holds the plain one."""
    for name in ("a", "b", "c.zst"):
        day.write(str(tmp_path / name), records=500, seed=9)
    day.write(str(tmp_path / "d"), records=500, seed=10)
    plain = (tmp_path / "a").read_bytes()
    packed = (tmp_path / "c.zst").read_bytes()
    assert plain == (tmp_path / "b").read_bytes() != (tmp_path / "d").read_bytes()
    assert zstandard.ZstdDecompressor().decompressobj().decompress(packed) == plain
