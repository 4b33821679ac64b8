"""Old logs are read whole, in order of time, whatever their names, packing or damage."""

import gzip
import io
import sys

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from kumo import Kumo, line, rejection

from guard.roles import BadInput
from guard.sources.history import STDIN, Reader, size_of
from guard.sources.recordlines import hear
from guard.sources.tally import CUT_SHORT, DAMAGED, NO_RECORD


def read(*paths):
    """(times of all events, the reader)."""
    reader = Reader(paths, hear)
    return [event.time - 1_700_000_000 for batch in reader.batches() for event in batch], reader


def log(*numbers: int) -> bytes:
    """Rejections with these numbers as their times."""
    return b"".join(map(rejection, numbers))


def test_plain_gzip_and_zstd_are_told_apart_by_content(tmp_path):
    """Names say nothing; the bytes do."""
    (tmp_path / "a.txt").write_bytes(zstandard.compress(log(1, 2)))
    (tmp_path / "b.zst").write_bytes(log(3, 4))
    (tmp_path / "c").write_bytes(gzip.compress(log(5, 6)))
    times, reader = read(*(tmp_path / name for name in ("a.txt", "b.zst", "c")))
    assert times == [1, 2, 3, 4, 5, 6]
    assert (reader.tally.records, reader.tally.faults, reader.foreign) == (6, {}, [])


def test_rotated_files_come_in_order_of_time(tmp_path):
    """log, log.1 and log.2.gz are read oldest first, however they are named and given."""
    (tmp_path / "log").write_bytes(log(*range(200, 300)))
    (tmp_path / "log.1").write_bytes(log(*range(100, 200)))
    (tmp_path / "log.2.gz").write_bytes(gzip.compress(log(*range(100))))
    times, _ = read(tmp_path / "log.1", tmp_path / "log", tmp_path / "log.2.gz")
    assert times == list(range(300))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.integers(0, 50), max_size=20), max_size=5))
def test_streams_that_overlap_are_merged(tmp_path_factory, streams):
    """Two hosts' logs of one day become one stream in order of time, nothing lost."""
    folder = tmp_path_factory.mktemp("merge")
    for number, stream in enumerate(streams):
        (folder / f"host{number}").write_bytes(log(*sorted(stream)))
    times, _ = read(*folder.iterdir())
    assert times == sorted(number for stream in streams for number in stream)


def test_a_kumomta_directory(tmp_path):
    """Segments by name, sub-directories per type beside one another, hidden files left out."""
    rejections, receptions = Kumo(tmp_path / "rejected"), Kumo(tmp_path)
    for number in range(0, 60, 2):
        rejections.write(rejection(number))
        receptions.write(line("Reception", number + 1))
        if number % 20 == 18:
            rejections.close()
            receptions.close()
    receptions.write(line("Reception", 60))
    receptions.flush()
    (tmp_path / ".tailer-checkpoint").write_text("{}")
    times, reader = read(tmp_path)
    receptions.crash()
    assert times == list(range(61))
    assert reader.tally.faults == {}


def test_a_crash_loses_the_tail_and_says_so(tmp_path):
    """A frame without an end is read as far as it goes; half a line is counted, not guessed."""
    path = tmp_path / "20260315-000000"
    whole = log(1, 2, 3)
    packed = zstandard.ZstdCompressor().compressobj()
    path.write_bytes(
        packed.compress(whole + rejection(4)[:100])
        + packed.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    )
    times, reader = read(path)
    assert times == [1, 2, 3]
    assert reader.tally.faults[CUT_SHORT].first == f"{path}:4"


def test_a_whole_last_line_without_an_end_is_read(tmp_path):
    """An editor that drops the last newline does not lose a record."""
    (tmp_path / "log").write_bytes(log(1, 2)[:-1])
    times, reader = read(tmp_path / "log")
    assert (times, reader.tally.faults) == ([1, 2], {})


def test_damage_ends_one_file_only(tmp_path):
    """What came before it is read, and the next file is."""
    good = zstandard.compress(log(*range(5000)))
    (tmp_path / "20260315-000000").write_bytes(good[:-200] + b"\xff" * 200)
    (tmp_path / "20260315-000001").write_bytes(zstandard.compress(log(9000)))
    times, reader = read(tmp_path)
    assert times[-1] == 9000
    assert reader.tally.faults[DAMAGED].count == 1
    assert reader.foreign == []


def test_what_is_no_log_is_named(tmp_path):
    """A picture among the arguments is told by name; a text among segments is only counted."""
    (tmp_path / "picture.jpg").write_bytes(bytes(range(256)) * 40)
    folder = tmp_path / "log"
    Kumo(folder)
    (folder / "README").write_text("not a log\n")
    (folder / "20260315-000000").write_bytes(log(1))
    times, reader = read(tmp_path / "picture.jpg", folder)
    assert times == [1]
    assert reader.foreign == [str(tmp_path / "picture.jpg")]
    assert reader.tally.faults[NO_RECORD].count > 1


def test_empty_files_are_logs(tmp_path):
    """A file or directory with nothing in it has nothing wrong with it."""
    (tmp_path / "log").write_bytes(b"")
    (tmp_path / "dir").mkdir()
    times, reader = read(tmp_path / "log", tmp_path / "dir")
    assert (times, reader.tally.faults, reader.foreign) == ([], {}, [])


def test_what_cannot_be_opened_is_told_before_anything_is_read(tmp_path):
    """A wrong name does not come to light after an hour."""
    (tmp_path / "log").write_bytes(log(1))
    with pytest.raises(BadInput, match="absent: No such file"):
        read(tmp_path / "log", tmp_path / "absent")


def test_standard_input(monkeypatch):
    """A pipe is read like a file."""
    stdin = io.TextIOWrapper(io.BytesIO(zstandard.compress(log(1, 2))))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert read(STDIN)[0] == [1, 2]


def test_progress_counts_every_byte(tmp_path):
    """The bytes told add up to the size told before."""
    (tmp_path / "a").write_bytes(zstandard.compress(log(*range(3000))))
    (tmp_path / "b").write_bytes(log(*range(3000)))
    taken: list[int] = []
    reader = Reader([tmp_path / "a", tmp_path / "b"], hear, taken.append)
    assert sum(len(batch) for batch in reader.batches()) == 6000
    assert sum(taken) == size_of([tmp_path / "a", tmp_path / "b"]) > 0
