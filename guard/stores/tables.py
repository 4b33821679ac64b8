"""Windows in memory, in three generations, so that what is old goes without a search.

What is touched moves to the youngest generation; each time the newest rejection has gone on by
`span` the oldest generation is dropped. A window therefore stays for two to three `span` after its
last rejection, which leaves room for rejections that come late by one.
"""

from __future__ import annotations

from guard.jails.window import Hits
from guard.stores.keys import Key

Generation = dict[Key, Hits]


class Table:
    """The windows of jails that share them, for `span` seconds.

    `turn` is the time at which the generations move on; `elders` is false while there are none.
    """

    __slots__ = ("elders", "middle", "old", "span", "turn", "young")

    def __init__(self, span: float, turn: float) -> None:
        self.span, self.turn = span, turn
        self.young: Generation = {}
        self.middle: Generation = {}
        self.old: Generation = {}
        self.elders = False

    def take(self, key: Key) -> Hits:
        """The window of `key` out of the elder generations; empty when there is none."""
        hits = self.middle.pop(key, None)
        return self.old.pop(key, b"") if hits is None else hits

    def find(self, key: Key) -> Hits:
        """The window of `key`, wherever it is."""
        for generation in self.generations():
            if (hits := generation.get(key)) is not None:
                return hits
        return b""

    def drop(self, key: Key) -> None:
        """Forgets the window of `key`."""
        for generation in self.generations():
            generation.pop(key, None)

    def move_on(self, time: float) -> None:
        """Begins a young generation at `time`."""
        self.turn = time + self.span
        self.young, self.middle, self.old = {}, self.young, self.middle
        self.elders = bool(self.middle or self.old)

    def generations(self) -> tuple[Generation, Generation, Generation]:
        """All three, youngest first."""
        return self.young, self.middle, self.old

    def __len__(self) -> int:
        return len(self.young) + len(self.middle) + len(self.old)
