"""One jail's windows in memory, in three generations, so that what is old goes without a search.

A window that is touched moves to the youngest generation; each time the newest rejection has gone
on by `findtime` the oldest generation is dropped. A window therefore stays for two to three
`findtime` after its last rejection, which leaves room for rejections that come late by one.
"""

from __future__ import annotations

from guard.events import Window
from guard.jails.window import Hits
from guard.stores.keys import Key

Generation = dict[Key, Hits]


class Table:
    """The windows of one jail.

    `turn` is the time at which the generations move on; `elders` is false while there are none.
    """

    __slots__ = ("elders", "middle", "old", "turn", "window", "young")

    def __init__(self, window: Window, turn: float) -> None:
        self.window, self.turn = window, turn
        self.young: Generation = {}
        self.middle: Generation = {}
        self.old: Generation = {}
        self.elders = False

    def take(self, key: Key) -> Hits | None:
        """The window of `key` out of the elder generations; None when there is none."""
        hits = self.middle.pop(key, None)
        return self.old.pop(key, None) if hits is None else hits

    def find(self, key: Key) -> Hits | None:
        """The window of `key`, wherever it is."""
        for generation in self.generations():
            if (hits := generation.get(key)) is not None:
                return hits
        return None

    def drop(self, key: Key) -> None:
        """Forgets the window of `key`."""
        for generation in self.generations():
            generation.pop(key, None)

    def move_on(self, time: float) -> None:
        """Begins a young generation at `time`."""
        self.turn = time + self.window.findtime
        self.young, self.middle, self.old = {}, self.young, self.middle
        self.elders = bool(self.middle or self.old)

    def generations(self) -> tuple[Generation, Generation, Generation]:
        """All three, youngest first."""
        return self.young, self.middle, self.old

    def __len__(self) -> int:
        return len(self.young) + len(self.middle) + len(self.old)
