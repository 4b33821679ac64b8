"""Changes of files are noticed, however they are made; reading is no change."""

import threading

import pytest

from guard.lib.filewatch import FileWatch


@pytest.fixture
def told():
    """Set when something changed."""
    return threading.Event()


@pytest.fixture
def watch(told):
    """A watch, closed afterwards."""
    some = FileWatch(told.set)
    yield some
    some.close()


def by_writing(path):
    path.write_text("new text")


def by_renaming(path):
    other = path.with_name("other")
    other.write_text("old")
    other.rename(path)


def by_removing(path):
    path.unlink()


def by_turning_a_link(path):
    path.unlink()
    path.symlink_to(path.with_name("target"))


@pytest.mark.parametrize("change", [by_writing, by_renaming, by_removing, by_turning_a_link])
def test_a_change_is_told(watch, told, tmp_path, change):
    """Whether an editor writes, renames, removes or links."""
    (tmp_path / "target").write_text("target")
    path = tmp_path / "file"
    path.write_text("old")
    watch.watch([path])
    change(path)
    assert told.wait(10)


def test_a_file_that_appears_is_a_change(watch, told, tmp_path):
    """It need not exist when it is named."""
    watch.watch([tmp_path / "file"])
    (tmp_path / "file").write_text("here")
    assert told.wait(10)


def test_a_change_behind_a_link_is_told(watch, told, tmp_path):
    """As configuration management and containers have it."""
    (tmp_path / "real").mkdir()
    (tmp_path / "etc").mkdir()
    (tmp_path / "real/file").write_text("old")
    (tmp_path / "etc/file").symlink_to(tmp_path / "real/file")
    watch.watch([tmp_path / "etc/file"])
    (tmp_path / "real/file").write_text("new text")
    assert told.wait(10)


def test_other_files_and_reading_are_no_change(watch, told, tmp_path):
    """The change that is told at last is the one of the file, and the only one."""
    count = []
    told_too = threading.Event()

    def changed():
        count.append(1)
        told_too.set()

    some = FileWatch(changed)
    path = tmp_path / "file"
    path.write_text("old")
    some.watch([path])
    (tmp_path / "other").write_text("x")
    path.read_text()
    watch.watch([tmp_path / "last"])
    (tmp_path / "last").write_text("x")
    assert told.wait(10)
    some.on_any_event(None)  # whatever the system reports, nothing of the file differs
    assert not count
    path.write_text("new text")
    assert told_too.wait(10)
    some.close()


def test_a_folder_that_cannot_be_watched_is_said(watch, told, tmp_path, caplog):
    """And the others are watched all the same."""
    (tmp_path / "file").write_text("old")
    watch.watch([tmp_path / "none/file", tmp_path / "file"])
    assert "none will not be noticed" in caplog.text
    (tmp_path / "file").write_text("new text")
    assert told.wait(10)


def test_what_is_watched_can_be_exchanged(watch, told, tmp_path):
    """The old files are forgotten."""
    first, second = tmp_path / "first", tmp_path / "second"
    watch.watch([first])
    watch.watch([second])
    first.write_text("x")
    watch.on_any_event(None)
    assert not told.is_set()
    second.write_text("x")
    assert told.wait(10)
