"""The kernel's notices of changes in a directory, and of nothing else."""

import errno
import os
import select
import shutil

import pytest

from guard.lib import inotify


@pytest.fixture
def watching(tmp_path):
    """A descriptor that watches a folder, and that folder."""
    folder = tmp_path / "log"
    folder.mkdir()
    (folder / "old").write_text("x")
    descriptor = inotify.opened()
    inotify.add(descriptor, folder)
    yield descriptor, folder
    os.close(descriptor)


def told(descriptor: int) -> bool:
    """Whether there is news; there is none afterwards."""
    news = bool(select.select([descriptor], [], [], 0)[0])
    inotify.drain(descriptor)
    assert not select.select([descriptor], [], [], 0)[0]
    return news


def append(folder):
    with (folder / "old").open("a") as file:
        file.write("more")


@pytest.mark.parametrize(
    "change",
    [
        append,
        lambda folder: (folder / "new").touch(),
        lambda folder: (folder / "old").rename(folder / "old.1"),
        lambda folder: (folder / "old").rename(folder.parent / "old"),
        lambda folder: (folder / "old").unlink(),
        lambda folder: os.truncate(folder / "old", 0),
        shutil.rmtree,
    ],
)
def test_whatever_happens_to_a_log_is_told(watching, change):
    """Written, made, renamed, taken away, cut short, or all of it gone."""
    descriptor, folder = watching
    assert not told(descriptor)
    change(folder)
    assert told(descriptor)


def test_reading_is_no_change(watching):
    """Or every look at a log would be the reason for another."""
    descriptor, folder = watching
    assert (folder / "old").read_text() == "x"
    assert list(folder.iterdir())
    assert not told(descriptor)


def test_a_watch_ends_and_one_of_what_is_gone_has_ended(watching):
    """Neither is an error."""
    descriptor, folder = watching
    again = inotify.add(descriptor, folder)
    inotify.remove(descriptor, again)
    inotify.drain(descriptor)
    append(folder)
    assert not told(descriptor)
    again = inotify.add(descriptor, folder)
    shutil.rmtree(folder)
    inotify.remove(descriptor, again)


def test_what_cannot_be_watched_is_said(watching, monkeypatch):
    """A folder that is not there, and a system that has no inotify."""
    descriptor, folder = watching
    with pytest.raises(FileNotFoundError):
        inotify.add(descriptor, folder / "none")
    with pytest.raises(NotADirectoryError):
        inotify.add(descriptor, folder / "old")
    monkeypatch.setattr(inotify, "_libc", object)
    with pytest.raises(OSError, match="not implemented") as caught:
        inotify.opened()
    assert caught.value.errno == errno.ENOSYS
