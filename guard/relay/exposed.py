"""Files of the operator that others on the same machine could read or change, as warnings."""

from __future__ import annotations

from pathlib import Path

from guard.lib.faults import Fault


def changeable(path: Path) -> list[Fault]:
    """A warning if anybody may change the file, or put another in its place."""
    found = []
    if _mode(path) & 0o002:
        found.append(Fault(str(path), "", "everybody on this machine may change it: chmod o-w"))
    # In a folder with the sticky bit, such as /tmp, nobody can take away what is another's.
    if _mode(path.parent) & 0o1002 == 0o002:
        message = (
            "everybody on this machine may put another file in its place: chmod o-w its folder"
        )
        found.append(Fault(str(path), "", message))
    return found


def readable(path: Path) -> list[Fault]:
    """A warning if anybody may read the file."""
    if _mode(path) & 0o004:
        return [Fault(str(path), "", "everybody on this machine may read it: chmod o-r")]
    return []


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError:
        return 0
