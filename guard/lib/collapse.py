"""Things that repeat, told once and then counted: the first at once, the rest at a window's end.

No repetition is lost: the counts that come out sum to those that went in. Time is an argument;
memory is bounded by letting the oldest go early.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass
class _Run(Generic[V]):
    since: float
    last: V
    count: int = 0


class Collapse(Generic[K, V]):
    """Windows of `window` seconds for up to `size` keys. What comes out is (value, count)."""

    def __init__(self, window: float, size: int = 10_000) -> None:
        self._window, self._size = window, size
        self._runs: OrderedDict[K, _Run[V]] = OrderedDict()

    def see(self, key: K, value: V, count: int, now: float) -> list[tuple[V, int]]:
        """Counts `value` in; what has to be told now, `value` itself when its key is new."""
        told = self.due(now) if self._over(now) else []
        run = self._runs.get(key)
        if run:
            run.last, run.count = value, run.count + count
            return told
        self._runs[key] = _Run(now, value)
        if len(self._runs) > self._size:
            told += self._tell(self._runs.popitem(last=False)[1])
        return [*told, (value, count)]

    def due(self, now: float) -> list[tuple[V, int]]:
        """What has to be told because its window is over. A run that goes on has another one."""
        told: list[tuple[V, int]] = []
        while self._over(now):
            key, run = next(iter(self._runs.items()))
            del self._runs[key]
            if run.count:
                told += self._tell(run)
                self._runs[key] = _Run(now, run.last)
        return told

    def _over(self, now: float) -> bool:
        """Whether the oldest run's window is; a clock that was set back ends it too."""
        for run in self._runs.values():
            return not run.since <= now < run.since + self._window
        return False

    def rest(self) -> list[tuple[V, int]]:
        """All that is not told yet; then there is nothing."""
        told = [pair for run in self._runs.values() for pair in self._tell(run)]
        self._runs.clear()
        return told

    def __len__(self) -> int:
        return len(self._runs)

    @staticmethod
    def _tell(run: _Run[V]) -> list[tuple[V, int]]:
        return [(run.last, run.count)] if run.count else []
