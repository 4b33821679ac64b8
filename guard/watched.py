"""A source as the operator sees it: how much it heard, and what it last failed with."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from guard.lib.durations import format_duration
from guard.roles import Source, Telling


@dataclass
class Watched:
    """A source with what the operator wants to know of it."""

    source: Source
    heard: int = 0
    last: float | None = None
    error: str = ""
    minute: deque[tuple[float, int]] = field(default_factory=deque)

    def note(self, count: int, now: float) -> None:
        """Remembers that `count` events were counted."""
        self.heard += count
        self.last, self.error = now, ""
        self.minute.append((now, count))
        self._forget(now)

    def _forget(self, now: float) -> None:
        while self.minute and not now - 60 <= self.minute[0][0] <= now:
            self.minute.popleft()

    def row(self, now: float) -> dict[str, Any]:
        """What `guard status` shows of it."""
        self._forget(now)
        return {
            "name": self.source.name,
            "heard": self.heard,
            "last_minute": sum(count for _, count in self.minute),
            "last": "never" if self.last is None else format_duration(now - self.last) + " ago",
            **(self.source.tell() if isinstance(self.source, Telling) else {}),
            "error": self.error,
        }
