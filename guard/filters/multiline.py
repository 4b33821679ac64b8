"""The last lines of a log as one text, for filters with `maxlines` (jail.conf(5)).

fail2ban's rules: an expression is searched in the last so many lines, `^` and `$` stand at each of
them, `<SKIPLINES>` steps over some; lines that matched are used up, lines stepped over are not.
"""

from __future__ import annotations

from collections.abc import Iterable


class LineBuffer:
    """At most `most` lines, without their ends."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lines: list[str] = []

    def add(self, line: str) -> str:
        """Takes a line in and returns all of them as one text, each with its end."""
        self._lines = [*self._lines, line][-self._most :]
        return "".join(f"{kept}\n" for kept in self._lines)

    def use(self, text: str, start: int, end: int, skipped: Iterable[str]) -> None:
        """Drops the lines that the match from `start` to `end` of `text` touches.

        The lines in `skipped`, what `<SKIPLINES>` matched, stay.
        """
        first = text.count("\n", 0, text.rfind("\n", 0, start + 1) + 1)
        line_end = text.find("\n", max(end - 1, 0))
        last = text.count("\n", 0, line_end + 1) if line_end >= 0 else len(self._lines)
        stepped = [line for part in skipped for line in part.split("\n") if line]
        kept = []
        for line in self._lines[first:last]:
            if line in stepped:
                stepped.remove(line)
                kept.append(line)
        self._lines = self._lines[:first] + kept + self._lines[last:]
