"""A daemon beside a listener tells how much mail waits."""

import asyncio
from pathlib import Path

from next_hops import until
from office import Office

from guard.mail.depth import Depth


def test_what_waits(tmp_path: Path):
    """Number and age, without the spool's lock; a foreign file in the folder does no harm."""
    office = Office(tmp_path)
    first = office.mail()
    office.mail()
    born = int(first[:12], 16) / 1000
    depth = Depth(tmp_path, lambda: born + 61.5)
    assert depth.tell() == {"waiting": 0, "oldest": 0}
    depth.look()
    assert depth.tell() == {"waiting": 2, "oldest": 61}
    (office.spool.new / ("!" * 32)).touch()
    depth.look()
    assert depth.tell() == {"waiting": 3, "oldest": 0}


def test_no_spool_is_an_empty_one(tmp_path: Path):
    """No listener runs here: nothing waits, and nothing is made."""
    depth = Depth(tmp_path / "spool", lambda: 0.0)
    depth.look()
    assert depth.tell() == {"waiting": 0, "oldest": 0}
    assert not (tmp_path / "spool").exists()


def test_what_cannot_be_read_is_said(tmp_path: Path):
    """Until it can be read again."""
    (tmp_path / "new").write_text("a file where a folder should be")
    depth = Depth(tmp_path, lambda: 0.0)
    depth.look()
    assert depth.tell() == {"error": "spool: listing: Not a directory"}
    (tmp_path / "new").unlink()
    depth.look()
    assert "error" not in depth.tell()


def test_it_looks_by_itself(tmp_path: Path):
    """As a job of the daemon."""
    office = Office(tmp_path)
    office.mail()
    depth = Depth(tmp_path, lambda: 0.0)

    async def main() -> None:
        task = asyncio.ensure_future(depth.run())
        await until(lambda: depth.tell()["waiting"] == 1)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(main())
