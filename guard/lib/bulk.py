"""Making very many small values at once, without the garbage collector looking at all of them.

Each ten thousand new values have it go through everything there is, to find nothing: half the time
that a list of a hundred thousand networks takes. Reference counts go on freeing what is dropped.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


def collect_seldom(after: int) -> None:
    """For this process: a collection when `after` values have come, and none of what is there now.

    What a batch makes goes with it, and what is loaded stays: it would find nothing in either.
    """
    gc.freeze()
    gc.set_threshold(after, 20, 50)


@contextmanager
def bulk() -> Iterator[None]:
    """Has no collection begin in the meantime. For seconds, not for hours; may be nested."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
