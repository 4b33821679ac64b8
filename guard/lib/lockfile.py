"""A file that one process holds at a time (flock(2)), until it lets go or ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def hold(path: Path) -> int:
    """A descriptor that holds `path` until it is closed; makes the file, and the folders above it.

    Raises BlockingIOError where another process holds it, other OSErrors where it cannot be opened.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
