"""A path's lines, each once and in order, through everything that rotation does."""

import gzip
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kumo import AT, rejection

from guard.roles import Unavailable
from guard.sources.recordlines import hear
from guard.sources.tail import GRACE, Tail

NOW = 1_800_000_000.0


class Reader:
    """Reads a path as the source does, with restarts."""

    def __init__(self, path: Path, **more) -> None:
        self.path, self.more, self.now = path, more, NOW
        self.ids: list[str] = []
        self.tail = Tail(path, hear, **more)

    def new(self) -> list[int]:
        """The numbers that are new."""
        found: list[int] = []
        saved = None
        while (events := self.tail.read(self.now)) is not None or saved != self.tail.places:
            saved = self.tail.places
            found += [int(event.time) - AT for event in events or ()]
            self.ids += [event.id for event in events or ()]
        return found

    def wait(self, seconds: float = GRACE + 1) -> "Reader":
        """Lets time pass."""
        self.now += seconds
        return self

    def restart(self) -> "Reader":
        """Goes on from the places as a new process would."""
        places = self.tail.places
        self.tail.close()
        self.tail = Tail(self.path, hear, places, **self.more)
        return self


def append(path: Path, *numbers: int, end: bytes = b"") -> None:
    """Writes records as a program does, by name."""
    with path.open("ab") as file:
        file.write(b"".join(map(rejection, numbers)) + end)


@pytest.fixture
def reading():
    """Makes readers, and closes them."""
    made: list[Reader] = []

    def make(path: Path, **more) -> Reader:
        made.append(Reader(path, **more))
        return made[-1]

    yield make
    for reader in made:
        reader.tail.close()


@pytest.fixture
def log(tmp_path) -> Path:
    """A log with three lines."""
    path = tmp_path / "mail.log"
    append(path, 1, 2, 3)
    return path


def test_lines_are_heard_as_they_come(log, reading):
    """Half a line waits for its end."""
    reader = reading(log)
    assert reader.new() == [1, 2, 3]
    append(log, 4, end=rejection(5)[:40])
    assert reader.new() == [4]
    with log.open("ab") as file:
        file.write(rejection(5)[40:])
    assert reader.new() == [5]
    assert reader.new() == []


def test_an_end_before_anything_was_saved_loses_nothing(log, reading):
    """Where a new log begins is known before anything of it is heard, and so it is found again."""
    tail = Tail(log, hear)
    assert tail.read(NOW) is None
    saved = tail.places  # what the source saves then
    assert tail.read(NOW)  # heard, and never counted: the process was killed
    tail.close()
    log.rename(log.with_name("mail.log.1"))
    append(log, 4)
    again = reading(log)
    again.tail = Tail(log, hear, saved)
    assert again.new() == [1, 2, 3, 4]


def test_a_restart_goes_on_at_the_line(log, reading):
    """In the middle of a file and of a line, nothing is lost or heard twice."""
    reader = reading(log)
    reader.new()
    append(log, 4, end=rejection(5)[:40])
    assert reader.new() == [4]
    with log.open("ab") as file:
        file.write(rejection(5)[40:])
    assert reader.restart().new() == [5]
    assert reader.restart().new() == []
    assert len(set(reader.ids)) == 5


def test_rotation_by_rename(log, reading):
    """The renamed file is read out, with what its writer still writes, beside the new one."""
    reader = reading(log)
    reader.new()
    with log.open("ab") as writer:
        writer.write(rejection(4))
        log.rename(log.with_name("mail.log.1"))
        writer.write(rejection(5))
        writer.flush()
        append(log, 6)
        assert reader.new() == [4, 5, 6]
        writer.write(rejection(7))
        writer.flush()
        assert reader.new() == [7]
    assert reader.wait().new() == []
    append(log, 8)
    assert reader.new() == [8]
    assert len(reader.tail.places) == 1
    assert len(set(reader.ids)) == 8


def test_several_rotations_between_two_looks(log, reading):
    """Files that had the name only for a moment are read as well, once, in order."""
    reader = reading(log)
    reader.new()
    append(log, 4)
    for first in (5, 7, 9):
        for turn in (2, 1):
            old = log.with_name(f"mail.log.{turn}")
            if old.exists():
                old.rename(log.with_name(f"mail.log.{turn + 1}"))
        log.rename(log.with_name("mail.log.1"))
        append(log, first, first + 1)
    for path in log.parent.iterdir():  # all in one moment, as far as the times tell
        os.utime(path, (NOW, NOW))
    log.with_name("mail.log.2.gz").write_bytes(b"being packed")
    assert reader.new() == list(range(4, 11))
    assert reader.restart().wait().new() == []


@pytest.mark.parametrize("empty", [False, True])
def test_many_rotations_between_two_looks_and_packed(tmp_path, reading, empty):
    """On a machine that is slow to look the open file itself may be packed and gone."""
    log = tmp_path / "mail.log"
    if empty:
        log.touch()
    else:
        append(log, 1, 2, 3)
    os.utime(log, (NOW, NOW))
    reader = reading(log)
    reader.new()
    log.with_name("mail.log.3.gz").write_bytes(gzip.compress(log.read_bytes()))
    os.utime(log.with_name("mail.log.3.gz"), (NOW, NOW))
    log.unlink()
    for turn, first in ((2, 5), (1, 7)):
        append(log, first, first + 1)
        log.with_name(f"mail.log.{turn}.gz").write_bytes(gzip.compress(log.read_bytes()))
        os.utime(log.with_name(f"mail.log.{turn}.gz"), (NOW + 9 - turn, NOW + 9 - turn))
        log.unlink()
    append(log, 9)
    assert reader.new() == [5, 6, 7, 8, 9]


def test_the_rest_of_a_line_in_a_renamed_file_is_heard(log, reading):
    """A program that was killed in the middle of its last line."""
    reader = reading(log)
    reader.new()
    append(log, 4, end=rejection(5)[:-1])
    log.rename(log.with_name("mail.log.1"))
    append(log, 6)
    assert reader.new() == [4, 6]
    assert reader.wait().new() == [5]


def test_copytruncate(log, reading):
    """What the copy holds beyond our place is read from there, then the log from its start."""
    reader = reading(log)
    reader.new()
    append(log, 4, 5)
    log.with_name("mail.log.1").write_bytes(log.read_bytes())
    os.truncate(log, 0)
    append(log, 6)
    assert reader.new() == [4, 5, 6]
    assert reader.new() == []
    assert len(set(reader.ids)) == 6


def test_copytruncate_that_has_grown_again(log, reading):
    """A truncated log that is longer than before is known by its first bytes."""
    reader = reading(log)
    reader.new()
    os.truncate(log, 0)
    append(log, *range(10, 20))
    assert reader.new() == list(range(10, 20))


def test_truncation_without_a_copy(log, reading):
    """`: > mail.log` begins anew."""
    reader = reading(log)
    reader.new()
    os.truncate(log, 0)
    assert reader.new() == []
    append(log, 1)
    assert reader.new() == [1]
    assert len(set(reader.ids)) == 4


@pytest.mark.parametrize("packed", [False, True])
def test_rotations_during_a_downtime(log, packed, reading):
    """After a restart the rotated files since our place come first, in order, packed or not."""
    reader = reading(log)
    reader.new()
    append(log, 4)
    for turn, first in ((3, 5), (2, 7), (1, 9)):
        log.rename(log.with_name(f"mail.log.{turn}"))
        os.utime(log.with_name(f"mail.log.{turn}"), (NOW - turn, NOW - turn))
        append(log, first, first + 1)
    if packed:
        for turn in (3, 2):
            plain = log.with_name(f"mail.log.{turn}")
            other = log.with_name(f"mail.log.{turn}.gz")
            other.write_bytes(gzip.compress(plain.read_bytes()))
            os.utime(other, (NOW - turn, NOW - turn))
            plain.unlink()
    assert reader.restart().new() == list(range(4, 11))
    assert reader.wait().new() == []
    assert reader.restart().new() == []
    assert len(set(reader.ids)) == 10


def test_copytruncate_during_a_downtime(log, reading):
    """The copy is found by its first bytes, and read on from our place."""
    reader = reading(log)
    reader.new()
    append(log, 4)
    log.with_name("mail.log-20260315").write_bytes(log.read_bytes())
    os.truncate(log, 0)
    append(log, 5)
    assert reader.restart().new() == [4, 5]


def test_a_log_that_is_gone_after_a_downtime(log, caplog, reading):
    """What cannot be found is told, and what is there is read."""
    reader = reading(log)
    reader.new()
    places = reader.tail.places
    reader.tail.close()
    log.unlink()
    (log.parent / "keep-the-inode-busy").write_bytes(b"x")
    append(log, 9)
    reader.tail = Tail(log, hear, places)
    assert reader.new() == [9]
    assert "what was read last is gone" in caplog.text


def test_an_empty_log_that_was_rotated_away_in_a_downtime(tmp_path, reading):
    """Nothing was read of it, so nothing but the time says which files came after."""
    path = tmp_path / "mail.log"
    path.touch()
    reader = reading(path)
    assert reader.new() == []
    places = reader.tail.places
    reader.tail.close()
    for turn in (3, 2, 1):
        append(path, 10 - turn)
        path.rename(tmp_path / f"mail.log.{turn}")
        path.touch()
    old = tmp_path / "mail.log.4"
    append(old, 1)
    os.utime(old, (NOW - 9**9, NOW - 9**9))
    reader.tail = Tail(path, hear, places)
    assert reader.new() == [7, 8, 9]


def test_a_path_that_does_not_exist_yet(tmp_path, reading):
    """A log, and its directory, may come later."""
    path = tmp_path / "later" / "mail.log"
    reader = reading(path)
    assert reader.new() == []
    path.parent.mkdir()
    assert reader.new() == []
    append(path, 1)
    assert reader.new() == [1]


def test_a_directory_that_is_removed_and_made_again(log, reading):
    """As with a volume that is mounted anew."""
    folder = log.parent / "sub"
    folder.mkdir()
    path = folder / "x.log"
    append(path, 1)
    reader = reading(path)
    assert reader.new() == [1]
    path.unlink()
    folder.rmdir()
    assert reader.new() == []
    folder.mkdir()
    append(path, 2)
    assert reader.new() == [2]
    path.unlink()
    folder.rmdir()
    assert reader.new() == []
    assert reader.wait().new() == []
    folder.mkdir()
    append(path, 3, 4, 5)
    assert reader.new() == [3, 4, 5]
    assert len(set(reader.ids)) == 5


def test_a_symlink_that_is_turned(tmp_path, reading):
    """current -> log-1, then log-2: each is read out."""
    link = tmp_path / "current.log"
    append(tmp_path / "one", 1)
    append(tmp_path / "two", 3)
    link.symlink_to("one")
    reader = reading(link)
    assert reader.new() == [1]
    append(tmp_path / "one", 2)
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").rename(link)
    assert reader.new() == [2, 3]


def test_a_first_start_reads_the_last_part_of_a_huge_log(tmp_path, reading):
    """Years of log are not read before today's; the first line heard is a whole one."""
    path = tmp_path / "mail.log"
    append(path, *range(1000))
    size = len(rejection(0))
    numbers = reading(path, first=size * 10).new()
    assert numbers == list(range(1000 - len(numbers), 1000))
    assert 9 <= len(numbers) <= 10


def test_what_may_not_be_read_is_unavailable(tmp_path, reading):
    """A directory in place of a log is told, with its name."""
    (tmp_path / "mail.log").mkdir()
    with pytest.raises(Unavailable, match=r"mail\.log: Is a directory"):
        reading(tmp_path / "mail.log").new()


def test_other_logs_of_like_name_are_not_taken_for_rotated(log, reading):
    """mail.log.err and mail.log.1.bak are not mail.log."""
    for name in ("mail.log.err", "mail.log.1.bak", "mail.logs", "mail.log.2.xz"):
        append(log.with_name(name), 77)
    reader = reading(log)
    assert reader.new() == [1, 2, 3]
    log.rename(log.with_name("mail.log.1"))
    append(log, 4)
    assert reader.restart().new() == [4]


STEPS = st.lists(
    st.sampled_from(["write", "write", "rename", "copy", "restart", "read", "wait"]), max_size=25
)


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(STEPS)
def test_any_course_of_events_hears_each_line_once(tmp_path_factory, steps):
    """Writes, rotations of both kinds, restarts and silence in any order: each line once."""
    path = tmp_path_factory.mktemp("any") / "mail.log"
    append(path, 0)
    reader, heard, number = Reader(path), [], 1
    heard += reader.new()
    turn = 0
    for step in steps:
        if step == "write":
            append(path, number, number + 1)
            number += 2
        elif step in ("rename", "copy"):
            turn += 1
            old = path.with_name(f"mail.log-{turn:08}")
            if step == "rename":
                path.rename(old)
                path.touch()
            else:
                old.write_bytes(path.read_bytes())
                # Between two looks there is one truncation, as logrotate makes it.
                os.truncate(path, 0)
            os.utime(old, (NOW + turn, NOW + turn))
            append(path, number)
            number += 1
            heard += reader.new()
        elif step == "restart":
            reader.restart()
        elif step == "read":
            heard += reader.new()
        else:
            heard += reader.wait().new()
    heard += reader.restart().wait().new()
    assert sorted(heard) == list(range(number))
    assert len(set(reader.ids)) == number
    reader.tail.close()


def test_a_file_that_was_moved_to_another_directory_is_read_to_its_end(log, reading, tmp_path):
    """logrotate's olddir: while it is open no setting is needed."""
    (tmp_path / "old").mkdir()
    reader = reading(log)
    assert reader.new() == [1, 2, 3]
    append(log, 4)
    log.rename(tmp_path / "old" / "mail.log.1")
    append(log, 5)
    append(tmp_path / "old" / "mail.log.1", 6)
    assert sorted(reader.new()) == [4, 5, 6]


@pytest.mark.parametrize("packed", [False, True])
def test_after_a_downtime_the_unread_rest_is_found_in_olddir(log, reading, tmp_path, packed):
    """Two rotations and packing meanwhile: the rest of one file, all of the next, the new one."""
    old = tmp_path / "old"
    old.mkdir()
    reader = reading(log, olddir=old)
    assert reader.new() == [1, 2, 3]
    places = reader.tail.places
    reader.tail.close()
    append(log, 4)
    log.rename(old / "mail.log.2")
    append(log, 5)
    log.rename(old / "mail.log.1")
    append(log, 6)
    if packed:
        data = (old / "mail.log.2").read_bytes()
        (old / "mail.log.2.gz").write_bytes(gzip.compress(data))
        (old / "mail.log.2").unlink()
    reader.tail = Tail(log, hear, places, olddir=old)
    assert reader.new() == [4, 5, 6]


def test_an_olddir_that_is_not_there_yet_is_no_fault(log, reading, tmp_path):
    """logrotate may make it at the first rotation."""
    reader = reading(log, olddir=tmp_path / "old")
    assert reader.new() == [1, 2, 3]
    (tmp_path / "old").mkdir()
    log.rename(tmp_path / "old" / "mail.log-20260315")
    append(log, 4)
    assert reader.restart().new() == [4]


def test_a_file_that_logrotate_found_in_its_way_is_read(log, reading):
    """A program made the new log before logrotate did, which then calls it NAME-DATE.backup."""
    reader = reading(log)
    assert reader.new() == [1, 2, 3]
    log.rename(log.with_name("mail.log.1"))
    append(log, 4)
    os.utime(log.with_name("mail.log.1"), (NOW, NOW))
    log.rename(log.with_name("mail.log-2026112104.backup"))
    os.utime(log.with_name("mail.log-2026112104.backup"), (NOW + 1, NOW + 1))
    append(log, 5)
    assert reader.new() == [4, 5]
