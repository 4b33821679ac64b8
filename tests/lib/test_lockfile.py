"""One process at a time holds a file, and nothing is left to tidy when it dies."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from guard.lib.lockfile import hold


def test_one_holds_it_at_a_time(tmp_path: Path):
    """The second is told at once; who closes his descriptor lets the next one in."""
    path = tmp_path / "new" / "folder" / "a.lock"
    held = hold(path)
    with pytest.raises(BlockingIOError):
        hold(path)
    os.close(held)
    os.close(hold(path))
    assert path.parent.stat().st_mode & 0o027 == 0
    assert path.stat().st_mode & 0o137 == 0


def test_a_process_that_is_killed_holds_nothing(tmp_path: Path):
    """Its kernel lets go for it."""
    path = tmp_path / "a.lock"
    script = (
        f"from guard.lib.lockfile import hold; from pathlib import Path; hold(Path({str(path)!r}))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script + "; print(1, flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout.readline() == b"1\n"
        with pytest.raises(BlockingIOError):
            hold(path)
        process.send_signal(signal.SIGKILL)
        process.wait()
    os.close(hold(path))


def test_what_cannot_be_opened_is_another_error(tmp_path: Path):
    """A folder in its place, or a file where a folder ought to be."""
    (tmp_path / "a.lock").mkdir()
    (tmp_path / "file").touch()
    for path in (tmp_path / "a.lock", tmp_path / "file" / "a.lock"):
        with pytest.raises(OSError) as raised:
            hold(path)
        assert not isinstance(raised.value, BlockingIOError)
