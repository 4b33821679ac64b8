"""A reader is woken by a change in its directories, and looks by itself where nobody tells."""

import asyncio

from guard.lib import inotify
from guard.sources.waker import Waker


def played(play) -> list[float]:
    """What `play` gives, with a waker."""

    async def run():
        waker = Waker()
        try:
            return await play(waker, asyncio.get_running_loop())
        finally:
            waker.close()

    return asyncio.run(run())


def test_a_change_wakes_at_once_and_once(tmp_path):
    """One before the wait too: between looking and waiting nothing is lost."""
    (tmp_path / "a").mkdir()

    async def play(waker, loop):
        waker.watch([tmp_path / "a", tmp_path / "none"])
        (tmp_path / "a" / "log").write_text("x")
        begun = loop.time()
        await waker.wait(30)
        woken = loop.time() - begun
        begun = loop.time()
        await waker.wait(0.2)
        return [woken, loop.time() - begun]

    woken, waited = played(play)
    assert woken < 10
    assert waited >= 0.19


def test_directories_come_and_go(tmp_path):
    """What is not watched any more wakes nobody; one of the same name is another."""
    a, b = tmp_path / "a", tmp_path / "b"
    a.mkdir()
    b.mkdir()

    async def play(waker, loop):
        found = []
        waker.watch([a, b])
        waker.watch([b])
        await waker.wait(0.05)  # the kernel says that a watch has ended
        (a / "log").write_text("x")
        begun = loop.time()
        await waker.wait(0.2)
        found.append(loop.time() - begun)
        b.rename(tmp_path / "old")
        b.mkdir()
        waker.watch([b])
        await waker.wait(0.05)
        waker.watch([b])
        (b / "log").write_text("x")
        begun = loop.time()
        await waker.wait(30)
        found.append(loop.time() - begun)
        return found

    waited, woken = played(play)
    assert waited >= 0.19
    assert woken < 10


def test_a_kernel_without_notices_is_said_once(tmp_path, monkeypatch, caplog):
    """Whoever waits then waits his time."""

    def refuse(*_: object) -> int:
        raise OSError(24, "too many")

    monkeypatch.setattr(inotify, "opened", refuse)

    async def play(waker, loop):
        waker.watch([tmp_path])
        (tmp_path / "log").write_text("x")
        begun = loop.time()
        await waker.wait(0.1)
        return [loop.time() - begun]

    (waited,) = played(play)
    assert waited >= 0.09
    assert caplog.text.count("too many") == 1
