"""What a benchmark does when nobody reads it any more: it ends, and says nothing of it.

    python -m benchmarks.counting | head -3

Servers and folders that it made are put away as at any other end. Only a broken standard output is
meant; a connection that breaks within a benchmark is an error like any other.
"""

import os
import select
import sys
from collections.abc import Callable


def until_unread(main: Callable[[], int | None]) -> int:
    """Runs `main`; returns the exit status."""
    try:
        status = main() or 0
        sys.stdout.flush()
    except BrokenPipeError:
        if _is_read():
            raise
        # What is left is written at exit: to nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def _is_read() -> bool:
    """Whether the other end of a pipe that the output goes to is still there."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return not any(event & select.POLLERR for _, event in poll.poll(0))
