"""How many files and sockets this process may have open: as many as it can be given."""

from __future__ import annotations

import resource


def as_many_as_possible() -> int:
    """Raises the soft limit to the hard one; what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):  # a container may say no
            return soft
    return hard
