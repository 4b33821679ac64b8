"""Who is to be looked at when, by the minute: eight bytes each, and no order within a minute."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator

from guard.stores.keys import Key

MINUTE = 60.0


class Turns:
    """Keys and their times. One may be there more than once."""

    def __init__(self) -> None:
        self._keys: dict[int, list[Key]] = {}
        self._order: list[int] = []

    def add(self, key: Key, time: float) -> None:
        """`key` is to be looked at at `time`; never, where that is infinite."""
        if not math.isfinite(time):
            return
        turn = int(time // MINUTE)
        keys = self._keys.get(turn)
        if keys is None:
            self._keys[turn] = [key]
            heapq.heappush(self._order, turn)
        else:
            keys.append(key)

    def over(self, time: float) -> Iterator[Key]:
        """Takes out those whose minute was over at `time`. More may be added meanwhile."""
        while self._order and (self._order[0] + 1) * MINUTE <= time:
            yield from set(self._keys.pop(heapq.heappop(self._order)))

    def begun(self, time: float) -> set[Key]:
        """Those whose minute had begun at `time`."""
        last = time // MINUTE
        return {key for turn in self._order if turn <= last for key in self._keys[turn]}
