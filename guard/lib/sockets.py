"""Unix sockets in the file system."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def remove_stale(path: Path) -> None:
    """Removes the socket that a crash left behind, and makes the folder for a new one.

    Anything else of that name stays, so that binding fails and says so.
    """
    try:
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            path.unlink()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
