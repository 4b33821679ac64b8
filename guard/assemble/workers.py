"""What the processes of one `guard listener` have in common, made by the one that starts them.

They count together (limits, guesses) in memory that they share, and it writes the record log for
them, so that equal rejections are collapsed whichever process they came to.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from guard.config import Settings
from guard.lib import clock
from guard.lib.shared import Board, Shared
from guard.mail.collapsed import CollapsedRecords
from guard.mail.recordlog import RecordLog
from guard.mail.recordpipe import Mouth, pair


@dataclass(frozen=True)
class Seat:
    """One process of several: its number, and what it inherits, by file descriptor."""

    number: int
    shared: Shared
    records: socket.socket | None = None

    @classmethod
    def taken(cls, number: int, shared: int, records: int | None) -> Seat:
        """What the parent has left open. Raises OSError or ValueError when it is not that."""
        way = socket.socket(fileno=records) if records is not None else None
        if way:
            way.settimeout(0)
        return cls(number, Shared(shared), way)

    def board(self, name: str) -> Board | None:
        """Where the processes of the listener at `name` count together."""
        return self.shared.board(name, self.number)


class Workers:
    """The parent's part, for `count` processes. `open` and `close` on its loop."""

    def __init__(self, settings: Settings, count: int) -> None:
        self._stack = ExitStack()
        self._shared = Shared.make([str(item.listen) for item in settings.listener], count)
        self._mouth: Mouth | None = None
        self._theirs: socket.socket | None = None
        if settings.log.records is not None and settings.log.collapse:
            records = RecordLog(settings.log.records, clock.now)
            self._stack.callback(records.close)
            collapsed = CollapsedRecords(records, settings.log.collapse, clock.now)
            self._stack.callback(collapsed.close)
            ours, self._theirs = pair()
            self._stack.callback(self._theirs.close)
            self._mouth = Mouth(ours, collapsed)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What each process inherits."""
        theirs = (self._theirs.fileno(),) if self._theirs else ()
        return (self._shared.descriptor, *theirs)

    def options(self, number: int) -> Sequence[str]:
        """What `guard listener` is told on the command line, to be that process."""
        shared, *records = map(str, self.descriptors)
        more = ("--records", records[0]) if records else ()
        return ("--worker", str(number), "--shared", shared, *more)

    def open(self) -> None:
        """Begins to write what they refuse."""
        if self._mouth:
            self._mouth.open()
            self._stack.callback(self._mouth.close)

    def ended(self, number: int) -> None:
        """That process is gone: what it had counted as its own is given back."""
        self._shared.clear(number)

    def close(self) -> None:
        """Writes what is left."""
        self._stack.close()
