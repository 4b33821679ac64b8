"""The only place that asks what time it is; everything else is told."""

import time
from collections.abc import Callable

Clock = Callable[[], float]


def now() -> float:
    """Seconds since the epoch, as the machine's clock has it."""
    return time.time()
