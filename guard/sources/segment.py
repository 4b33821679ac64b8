"""One log file, read as it grows: lines, packed or plain.

A file that KumoMTA still writes is a zstd frame without an end, and its last line may be half
there; both are read as far as they go, and further when more has come (crates/kumo-jsonl). The
file is only read, never locked or touched.
"""

from __future__ import annotations

from typing import BinaryIO

from guard.sources.lines import BOUND, Lines
from guard.sources.unpack import HEAD, Damaged, Plain, Unpacker, unpacker_for

# Some hundred lines, which stay in the processor's cache while they become events. Packed logs grow
# ten times and more.
BLOCK = 256 << 10
PACKED = 16 << 10


class Segment:
    """Lines of `file`, which is called `name` where a fault is told. Closed by whoever opened it.

    `damaged` says that nothing more can be read. `at` is the number of bytes taken from the file.
    """

    def __init__(self, file: BinaryIO, name: str, bound: int = BOUND) -> None:
        self.name = name
        self.damaged = False
        self.at = 0
        self._file = file
        self._lines = Lines(bound)
        self._unpacker: Unpacker | None = None
        self._head = b""

    def read(self) -> list[bytes | None] | None:
        """The next lines in runs, maybe none; None at the present end of the file."""
        packed = not isinstance(self._unpacker, Plain)
        block = b"" if self.damaged else self._file.read(PACKED if packed else BLOCK)
        if not block:
            return None
        self.at += len(block)
        if self._unpacker is None:
            self._head += block
            if len(self._head) < HEAD:
                return []
            block, self._head = self._head, b""
            self._unpacker = unpacker_for(block)
        return self._unpack(self._unpacker, block)

    def end(self) -> list[bytes | None]:
        """The line, if any, that has begun and will not end: nobody writes to the file any more."""
        if self._lines.skipping:
            return [None]
        rest = self._head or self._lines.rest
        return [rest] if rest else []

    def _unpack(self, unpacker: Unpacker, block: bytes) -> list[bytes | None]:
        runs: list[bytes | None] = []
        try:
            unpacker.feed(block, lambda piece: runs.extend(self._lines.feed(piece)))
        except Damaged:
            self.damaged = True
        return runs
