"""How much waits in a spool that another process delivers from.

For the daemon beside a `guard listener` of its own: both share the state directory, so that status
and metrics tell of waiting mail where the operator looks for it. Reads names only; decides nothing.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from guard.lib.clock import Clock
from guard.mail.spool import age
from guard.mail.waiting import Waiting
from guard.roles import GuardError

_EVERY = 5.0


class Depth:
    """A job: looks into the spool in `folder` now and then, and tells what it saw."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._waiting, self._clock = Waiting(folder), clock
        self._count, self._first, self._error = 0, "", ""

    async def run(self) -> None:
        """Looks, for ever."""
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(_EVERY)

    def look(self) -> None:
        """Looks once. Blocks, for as long as a large folder takes. Never raises."""
        try:
            ids = self._waiting.ids()
        except GuardError as error:
            self._error = str(error)
            return
        self._count, self._first, self._error = len(ids), next(iter(ids), ""), ""

    def tell(self) -> dict[str, object]:
        """`waiting` messages, and the age of the oldest in seconds, as the deliverer tells them."""
        if self._error:
            return {"error": self._error}
        return {"waiting": self._count, "oldest": int(age(self._first, self._clock()))}
