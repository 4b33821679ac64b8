"""What was received and is not counted yet: log segments on disk, shaped like KumoMTA's.

Whoever sent a record is told so only after fdatasync; the records of all who wait meanwhile share
one. A segment that is full becomes read-only, and is removed a while after it was read: until then
a record that is sent again is recognised, after a restart too. Knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path

from guard.roles import Unavailable

SEGMENT = 32 << 20
KEPT = 3600.0  # KumoMTA tries again after a minute, and after twenty at the latest
MOST = 300_000  # records that are remembered
AGAIN = 20.0

_PRECISE = b'"event_time"'


class Inbox:
    """The segments in `folder`. `put` belongs to one event loop, the rest to one thread each."""

    def __init__(self, folder: Path, *, segment: int = SEGMENT, kept: float = KEPT) -> None:
        self.folder = folder
        self._segment, self._kept = segment, kept
        self._file = -1
        self._path = folder
        self._size = 0
        self._lock = threading.Lock()
        self._waiting: list[tuple[Sequence[bytes], asyncio.Future[int]]] = []
        self._writing = False
        self._seen: OrderedDict[int, float] = OrderedDict()
        self._now = 0.0
        self._last = ""

    def open(self, now: float) -> None:
        """Finds or makes the folder, and remembers what it holds. Raises Unavailable."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o750)
            for path in sorted(self.folder.iterdir()):
                if path.name.startswith("."):
                    continue
                path.chmod(0o440)
                self._last = path.name
                written = path.stat().st_mtime
                if written > now - self._kept:
                    for line in path.read_bytes().split(b"\n"):
                        self._remember(line, written)
        except OSError as error:
            raise Unavailable(f"{self.folder}: {error.strerror}") from None

    async def put(self, records: Sequence[bytes], now: float) -> int:
        """Makes `records` durable and returns how many of them were new. Raises Unavailable."""
        loop = asyncio.get_running_loop()
        self._now = now
        new = [record for record in records if self._remember(record, now)]
        if not new and not self._writing:
            return 0
        # What is there already may be in the write that is under way: this one comes after it.
        done: asyncio.Future[int] = loop.create_future()
        self._waiting.append((new, done))
        self._kick(loop)
        try:
            return await done
        except Unavailable:
            for record in new:
                self._seen.pop(_digest(record), None)
            raise

    def trim(self, read_up_to: str, now: float) -> None:
        """Removes segments before `read_up_to` that need not be remembered any more."""
        for path in self.folder.iterdir():
            old = path.name < read_up_to and path != self._path
            if old and path.stat().st_mtime < now - self._kept:
                path.unlink()

    def close(self) -> None:
        """Ends the open segment."""
        with self._lock:
            self._end()

    def _remember(self, record: bytes, now: float) -> bool:
        """Whether `record` is new.

        With nanoseconds in it (since KumoMTA 2025.10.06) no two records are the same bytes. Two of
        one second without may be; one that is sent again comes later than that.
        """
        digest = _digest(record)
        before = self._seen.get(digest)
        if before is not None and (_PRECISE in record or now - before > AGAIN):
            return False
        self._seen[digest] = now
        self._seen.move_to_end(digest)
        while len(self._seen) > MOST:
            self._seen.popitem(last=False)
        return True

    def _kick(self, loop: asyncio.AbstractEventLoop) -> None:
        """Writes what waits, unless somebody does."""
        if self._writing or not self._waiting:
            return
        batch, self._waiting = self._waiting, []
        self._writing = True
        data = b"".join(record + b"\n" for records, _ in batch for record in records)
        writing = loop.run_in_executor(None, self._write, data)
        writing.add_done_callback(lambda done: self._wrote(loop, batch, done))

    def _wrote(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: list[tuple[Sequence[bytes], asyncio.Future[int]]],
        done: asyncio.Future[None],
    ) -> None:
        self._writing = False
        error = done.exception()
        for records, waiter in batch:
            if waiter.cancelled():
                continue
            if error is not None:
                waiter.set_exception(error)
            else:
                waiter.set_result(len(records))
        self._kick(loop)

    def _write(self, data: bytes) -> None:
        """Appends `data` and waits for the disk."""
        with self._lock:
            try:
                if self._file < 0:
                    self._begin()
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(self._file, rest) :]
                os.fdatasync(self._file)
            except OSError as error:
                # Half a line may be there: what follows goes into another segment.
                self._end()
                raise Unavailable(f"{self.folder}: {error.strerror}") from None
            self._size += len(data)
            if self._size >= self._segment:
                self._end()

    def _begin(self) -> None:
        """Opens a segment whose name follows all others, whatever the clock does."""
        name = f"{datetime.fromtimestamp(self._now, UTC):%Y%m%d-%H%M%S.%f}000"
        if name <= self._last:
            stamp, _, number = self._last.partition(".")
            name = f"{stamp}.{int(number or 0) + 1:09}"
        self._path = self.folder / name
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o640)
        self._last, self._size = name, 0
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _end(self) -> None:
        if self._file >= 0:
            os.fchmod(self._file, 0o440)
            os.close(self._file)
            self._file = -1


def _digest(record: bytes) -> int:
    return int.from_bytes(blake2b(record, digest_size=8).digest(), "big")
