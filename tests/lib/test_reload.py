"""Configuration is read anew on request and on change; what is broken changes nothing."""

import asyncio
import contextlib
import logging
import threading

import pytest

from guard.lib.reload import Reloader


class BrokenError(Exception):
    """What `read` raises for faults."""


class Thing:
    """A configuration of one file."""

    def __init__(self, path):
        self.path, self.value, self.applied = path, "", asyncio.Event()

    def read(self):
        text = self.path.read_text()
        if text.startswith("bug"):
            raise KeyError(text)
        if text.startswith("bad"):
            raise BrokenError("file: a: no\nfile: b: no")
        return text

    def apply(self, value):
        self.value = value
        self.applied.set()

    def reloader(self):
        return Reloader(self.read, self.apply, lambda: [self.path], BrokenError, quiet=0.0)


@contextlib.asynccontextmanager
async def running(thing):
    """A reloader at work."""
    reloader = thing.reloader()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(reloader.run())
        yield reloader
        task.cancel()


async def applied(thing):
    """Waits for the next configuration in force."""
    async with asyncio.timeout(10):
        await thing.applied.wait()
    thing.applied.clear()
    return thing.value


def test_on_request_it_is_read_and_applied(tmp_path):
    """A signal's way."""
    (tmp_path / "file").write_text("one")

    async def test():
        thing = Thing(tmp_path / "file")
        async with running(thing) as reloader:
            reloader.request()
            return await applied(thing)

    assert asyncio.run(test()) == "one"


def test_a_changed_file_is_read_without_being_asked(tmp_path):
    """Again and again, also when it is replaced."""
    path = tmp_path / "file"
    path.write_text("one")

    async def test():
        thing, seen = Thing(path), []
        async with running(thing) as reloader:
            reloader.request()
            seen.append(await applied(thing))
            for text in ("two!", "three"):
                (tmp_path / "new").write_text(text)
                (tmp_path / "new").rename(path)
                seen.append(await applied(thing))
        return seen

    assert asyncio.run(test()) == ["one", "two!", "three"]


def test_a_change_before_it_runs_is_not_missed(tmp_path):
    """A start takes its time, and an operator does not wait for it."""
    path = tmp_path / "file"
    path.write_text("one")

    async def test():
        thing = Thing(path)
        reloader = thing.reloader()
        path.write_text("two!")
        async with asyncio.TaskGroup() as group:
            task = group.create_task(reloader.run())
            value = await applied(thing)
            task.cancel()
        return value

    assert asyncio.run(test()) == "two!"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("bad", ["file: a: no", "file: b: no", "the old one stays in force"]),
        ("bug", ["KeyError: 'bug'", "the old one stays in force"]),
    ],
)
def test_what_cannot_be_read_changes_nothing_and_is_said(tmp_path, caplog, text, says):
    """Every fault in the log; the next good version is taken."""
    path = tmp_path / "file"

    async def test():
        thing = Thing(path)
        thing.value = "old"
        path.write_text(text)
        reloader = thing.reloader()
        assert not await reloader.reload()
        assert thing.value == "old"
        path.write_text("good")
        assert await reloader.reload()
        return thing.value

    with caplog.at_level(logging.INFO):
        assert asyncio.run(test()) == "good"
    for line in says:
        assert line in caplog.text
    assert caplog.messages[-1] == "the new configuration is in force"


def test_a_read_that_does_not_end_is_told_and_holds_up_nothing(tmp_path, monkeypatch, caplog):
    """A module that hangs when it is imported: the loop goes on, and the process can end."""
    monkeypatch.setattr("guard.lib.reload._LONG", 0.05)
    path, ended = tmp_path / "file", threading.Event()
    path.write_text("one")
    thing = Thing(path)
    thing.read = ended.wait

    async def test():
        heard = asyncio.Event()
        monkeypatch.setattr(caplog.handler, "emit", lambda record: told(record, heard))
        async with running(thing) as reloader, asyncio.timeout(10):
            reloader.request()
            await heard.wait()

    def told(record, heard):
        if "has no end" in record.getMessage():
            heard.set()

    with caplog.at_level(logging.ERROR, "guard.reload"):
        asyncio.run(test())
    (left,) = [thread for thread in threading.enumerate() if thread.name == "guard-reload"]
    assert left.daemon
    assert not thing.applied.is_set()
    ended.set()
    left.join(10)
