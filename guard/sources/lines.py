"""Bytes into lines, in bounded memory whatever the bytes are.

A line ends at LF and nowhere else: U+2028, NEL or a lone CR are part of a record. A line longer
than the bound is told as None in its place, and its bytes are not kept.
"""

from __future__ import annotations

# KumoMTA's records are some hundred bytes; the headers it is told to log may make them longer.
BOUND = 4 << 20


class Lines:
    """Feed blocks, get lines. `count` is the number of lines returned so far.

    `rest` is the beginning of a line that has not ended; `skipping` says that it is too long
    already, and then `rest` is empty.
    """

    def __init__(self, bound: int = BOUND) -> None:
        self.count = 0
        self.rest = b""
        self.skipping = False
        self._bound = bound

    def feed(self, block: bytes) -> list[bytes | None]:
        """The lines that `block` completes, without their LF; None for one that is too long."""
        lines: list[bytes | None] = []
        lines += block.split(b"\n")
        last = lines.pop()
        assert last is not None
        if not lines:
            self._carry(last)
            return lines
        head = lines[0]
        assert head is not None
        lines[0] = None if self.skipping else self.rest + head
        self.rest, self.skipping = b"", False
        if len(block) + len(lines[0] or b"") > self._bound:
            lines = [None if line is None or len(line) > self._bound else line for line in lines]
        self._carry(last)
        self.count += len(lines)
        return lines

    def _carry(self, part: bytes) -> None:
        """Keeps the beginning of a line, unless that is too long."""
        if self.skipping:
            return
        if len(self.rest) + len(part) > self._bound:
            self.rest, self.skipping = b"", True
        elif part:
            self.rest += part

    @property
    def pending(self) -> bool:
        """Whether a line has begun and not ended."""
        return self.skipping or bool(self.rest)
