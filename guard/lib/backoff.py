"""Pauses between tries of what failed."""

from __future__ import annotations

import asyncio
from contextlib import suppress

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0


class Backoff:
    """How long to wait before the next try: twice as long after each failure in a row."""

    def __init__(self) -> None:
        self.pause = FIRST_PAUSE

    def reset(self) -> None:
        """It worked: the next failure is a first one."""
        self.pause = FIRST_PAUSE

    async def wait(self, stopping: asyncio.Event | None = None) -> None:
        """Waits, not beyond `stopping`, and makes the next wait longer."""
        with suppress(TimeoutError):
            await asyncio.wait_for((stopping or asyncio.Event()).wait(), self.pause)
        self.pause = min(2 * self.pause, LONGEST_PAUSE)
