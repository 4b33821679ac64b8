"""Bytes into lines, in bounded memory whatever the bytes are.

A line ends at LF and nowhere else: U+2028, NEL or a lone CR are part of a record. Whole lines stay
together in runs, so that a fast decoder can take thousands at once. A line longer than the bound
is told as None in its place, and its bytes are not kept.
"""

from __future__ import annotations

# KumoMTA's records are some hundred bytes; the headers it is told to log may make them longer.
BOUND = 4 << 20


class Lines:
    """Feed blocks, get runs of lines.

    `rest` is the beginning of a line that has not ended; `skipping` says that it is too long
    already, and then `rest` is empty.
    """

    def __init__(self, bound: int = BOUND) -> None:
        self.rest = b""
        self.skipping = False
        self._bound = bound

    def feed(self, block: bytes) -> list[bytes | None]:
        """The lines that `block` completes, in runs, LFs included; None for one too long."""
        runs: list[bytes | None] = []
        end = block.rfind(b"\n") + 1
        if end:
            begin = 0
            if self.skipping:
                begin = block.find(b"\n") + 1
                runs.append(None)
            whole = self.rest + block[begin:end]
            self.rest, self.skipping = b"", False
            runs += [whole] if len(whole) <= self._bound else self._cut(whole)
        self._carry(block[end:])
        return [run for run in runs if run != b""]

    def _cut(self, whole: bytes) -> list[bytes | None]:
        """`whole` in single lines, which may be too long."""
        return [
            line + b"\n" if len(line) < self._bound else None for line in whole[:-1].split(b"\n")
        ]

    def _carry(self, part: bytes) -> None:
        """Keeps the beginning of a line, unless that is too long."""
        if self.skipping or not part:
            return
        if len(self.rest) + len(part) >= self._bound:
            self.rest, self.skipping = b"", True
        else:
            self.rest += part


def skip(runs: list[bytes | None], count: int) -> tuple[list[bytes | None], int]:
    """`runs` without their first `count` lines, and how many are still to be left out."""
    kept: list[bytes | None] = []
    for run in runs:
        lines = 1 if run is None else run.count(b"\n")
        if count >= lines:
            count -= lines
        elif count and run is not None:
            kept.append(run.split(b"\n", count)[-1])
            count = 0
        else:
            kept.append(run)
    return kept, count
