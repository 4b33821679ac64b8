"""Lines on standard input, of `journalctl -f`, a tailer or any pipe; ends where they end.

Nothing is kept: what the pipe has given is gone. A writer that is faster than counting waits.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Sequence

from guard.events import Event
from guard.sources.lines import Lines
from guard.sources.tail import Hear
from guard.sources.tally import Tally

_BLOCK = 256 << 10


class StandardInput:
    """Hears lines of the descriptor `file`, which is read as they come."""

    def __init__(self, hear: Hear, file: int = 0) -> None:
        self.name = "stdin"
        self.tally = Tally()
        self._hear = hear
        self._file = file

    async def batches(self) -> AsyncIterator[Sequence[Event]]:
        """Events until the end of input."""
        lines = Lines()
        async for block in self._blocks():
            runs = lines.feed(block)
            events = await asyncio.to_thread(self._hear, runs, self.tally, self.name)
            if events:
                yield events
        if lines.rest:
            events = self._hear([lines.rest], self.tally, self.name)
            if events:
                yield events

    def tell(self) -> dict[str, int]:
        """How many lines could not be read."""
        return {"faults": self.tally.faulty}

    async def _blocks(self) -> AsyncIterator[bytes]:
        if stat.S_ISREG(os.fstat(self._file).st_mode):
            while block := await asyncio.to_thread(os.read, self._file, _BLOCK):
                yield block
            return
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_BLOCK)
        pipe = os.fdopen(os.dup(self._file), "rb", buffering=0)
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        try:
            while block := await reader.read(_BLOCK):
                yield block
        finally:
            transport.close()
