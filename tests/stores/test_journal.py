"""The journal of the embedded counters: what is damaged costs rejections, never the start."""

import os
import random
import struct
import zlib

import msgspec
import pytest

from guard.events import Offence, Window
from guard.lib.networks import parse_network
from guard.roles import Forbidden, Refused, Unavailable
from guard.stores import journal as module
from guard.stores.embedded_counters import EmbeddedCounters
from guard.stores.journal import Journal
from guard.stores.keys import key_of

NOW = 1_757_675_281.5
WINDOWS = {"relay": Window(5, 600.0)}
NETWORKS = [parse_network(t) for t in ("192.0.2.1", "2001:db8:0:1::/64", "198.51.100.0/24")]


def filled(path, batches=20):
    """A journal of some batches, whose writer then vanished."""
    counters = EmbeddedCounters(Journal(path))
    for number in range(batches):
        offences = [Offence("relay", network, NOW + 100 * number) for network in NETWORKS]
        counters.count(offences, WINDOWS)
    counters._journal.close()
    return counters


def counted(counters):
    return [counters.counted(network) for network in NETWORKS]


def test_what_was_counted_is_read_again(tmp_path):
    """Without an orderly end, all batches are there."""
    before = filled(tmp_path / "j")
    again = EmbeddedCounters(Journal(tmp_path / "j"))
    assert counted(again) == counted(before)
    again.close()


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_file_is_cut_where_it_is_damaged(tmp_path, seed, caplog):
    """Any byte changed, or the end missing: what comes before counts, and writing goes on."""
    rnd, path = random.Random(seed), tmp_path / "j"
    filled(path)
    data = bytearray(path.read_bytes())
    place = rnd.randrange(len(module.MAGIC), len(data))
    if seed % 2:
        data[place] ^= 1 + rnd.randrange(255)
    else:
        del data[place:]
    path.write_bytes(data)
    counters = EmbeddedCounters(Journal(path))
    held = counted(counters)
    assert all(len(offences) <= 4 for offences in held)
    counters.count([Offence("relay", NETWORKS[0], NOW + 9000)], WINDOWS)
    counters._journal.close()
    caplog.clear()
    again = EmbeddedCounters(Journal(path))
    assert counted(again) == counted(counters)
    assert not caplog.records
    again.close()


def test_it_is_rewritten_when_it_outgrows_what_it_says(tmp_path, monkeypatch):
    """Many batches of few networks do not fill the disk, and the counts are the same."""
    monkeypatch.setattr(module, "SMALLEST_REWRITE", 5000)
    counters = EmbeddedCounters(Journal(tmp_path / "j"))
    for number in range(500):
        counters.count([Offence("relay", n, NOW + 200 * number) for n in NETWORKS], WINDOWS)
        assert (tmp_path / "j").stat().st_size < 11000
    counters._journal.close()
    again = EmbeddedCounters(Journal(tmp_path / "j"))
    assert [held[-2:] for held in counted(again)] == [held[-2:] for held in counted(counters)]
    again.close()


def test_a_snapshot_that_cannot_be_written_leaves_the_old_file(tmp_path):
    """The disk is full, or the folder is gone: Unavailable, and nothing is lost."""
    journal = Journal(tmp_path / "j")
    counters = EmbeddedCounters(journal)
    counters.count([Offence("relay", NETWORKS[0], NOW)], WINDOWS)
    (tmp_path / "j.new").mkdir()
    with pytest.raises(Unavailable, match=r"j\.new"):
        counters.close()
    (tmp_path / "j.new").rmdir()
    again = EmbeddedCounters(Journal(tmp_path / "j"))
    assert counted(again)[0] == [Offence("relay", NETWORKS[0], NOW)]
    again.close()
    journal.close()


def test_counting_goes_on_when_it_cannot_be_rewritten(tmp_path, monkeypatch, caplog):
    """A batch that was counted is never told to be Unavailable: it would be counted twice."""
    monkeypatch.setattr(module, "SMALLEST_REWRITE", 500)
    counters = EmbeddedCounters(Journal(tmp_path / "j"))
    (tmp_path / "j.new").mkdir()
    for number in range(50):
        counters.count([Offence("relay", NETWORKS[0], NOW + 200 * number)], WINDOWS)
    assert "grows on" in caplog.text
    (tmp_path / "j.new").rmdir()
    counters.close()


def test_a_full_disk_is_unavailable_and_counts_nothing(tmp_path):
    """What could not be written was not counted; the next batch follows the last whole one."""
    journal = Journal(tmp_path / "j")
    counters = EmbeddedCounters(journal)
    counters.count([Offence("relay", NETWORKS[0], NOW)], WINDOWS)
    frames = journal._frames
    real, frames._file = frames._file, os.open("/dev/full", os.O_RDWR)
    with pytest.raises(Unavailable):
        counters.count([Offence("relay", NETWORKS[0], NOW)], WINDOWS)
    os.close(frames._file)
    frames._file = real
    counters.count([Offence("relay", NETWORKS[0], NOW + 1)], WINDOWS)
    journal.close()
    again = EmbeddedCounters(Journal(tmp_path / "j"))
    assert [o.time for o in counted(again)[0]] == [NOW, NOW + 1]
    again.close()


def test_strange_files_are_refused(tmp_path):
    """Another release's file is not overwritten, and a folder is no file."""
    (tmp_path / "other").write_bytes(b"guard counters 99\nsomething")
    with pytest.raises(Refused, match="another release"):
        Journal(tmp_path / "other")
    assert (tmp_path / "other").read_bytes() == b"guard counters 99\nsomething"
    with pytest.raises(Forbidden):
        Journal(tmp_path)


def test_what_the_format_before_held_is_taken_over(tmp_path):
    """A snapshot of windows by jail, a time or several of each network, and a batch after it."""
    path, (one, two, _) = tmp_path / "j", NETWORKS
    table = {key_of(one): NOW, key_of(two): struct.pack("<2d", NOW, NOW + 1)}
    entries = [
        (0, "relay", NOW + 600, table),
        (1, {"relay": (5, 600.0)}),
        (2, [("relay", tuple(one), NOW + 5, 1)]),
    ]
    packed = [msgspec.msgpack.encode(entry) for entry in entries]
    frames = [struct.pack("<II", len(p), zlib.crc32(p)) + p for p in packed]
    path.write_bytes(b"guard counters 2\n" + b"".join(frames))
    counters = EmbeddedCounters(Journal(path))
    assert [[o.time for o in held] for held in counted(counters)] == [
        [NOW, NOW + 5],
        [NOW, NOW + 1],
        [],
    ]
    counters.close()
