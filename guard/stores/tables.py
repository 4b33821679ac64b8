"""Windows in memory, in three generations, so that what is old goes without a search.

What is touched moves to the youngest generation; each time the newest rejection has gone on by
`span` the oldest generation is dropped. A window therefore stays for two to three `span` after its
last rejection, which leaves room for rejections that come late by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

from guard.jails.window import Hits
from guard.stores.keys import Key
from guard.stores.small import Value, hits_of, value_of

Generation = dict[Key, Value]
CHUNK = 1000
MANY = 1 << 16  # addresses from which on bytes matter more than the shortest way to count


class Table:
    """The windows of jails that share them, for `span` seconds.

    `turn` is the time at which the generations move on; `elders` is false while there are none.
    A table that once held many addresses is `dense`: its values are of any form (small.py), in
    others all are hits. `usual` is the set of jails whose single rejections are kept as a time
    alone, once it is known.
    """

    __slots__ = ("dense", "elders", "middle", "old", "span", "turn", "usual", "young")

    def __init__(self, span: float, turn: float) -> None:
        self.span, self.turn = span, turn
        self.young: Generation = {}
        self.middle: Generation = {}
        self.old: Generation = {}
        self.elders = self.dense = False
        self.usual = -1

    def thicken(self) -> None:
        """Saves memory from now on if there are many addresses."""
        if len(self.young) > MANY:
            self.dense = True

    def take(self, key: Key) -> Value | None:
        """What is held of `key` in the elder generations, taken out of them."""
        value = self.middle.pop(key, None)
        return self.old.pop(key, None) if value is None else value

    def find(self, key: Key) -> Hits:
        """The window of `key`, wherever it is; empty when there is none."""
        for generation in self.generations():
            if (value := generation.get(key)) is not None:
                return hits_of(value, self.usual)
        return b""

    def put(self, windows: Mapping[Key, Hits]) -> None:
        """Takes windows into the youngest generation."""
        self.thicken()
        if self.dense:
            usual = self.usual
            self.young.update((key, value_of(hits, usual)) for key, hits in windows.items() if hits)
        else:
            self.young.update(windows)

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

    def chunks(self) -> Iterator[dict[Key, Hits]]:
        """All windows, some thousands at once; the youngest first."""
        for generation in self.generations():
            items = iter(generation.items())
            while chunk := {key: hits_of(v, self.usual) for key, v in islice(items, CHUNK)}:
                yield chunk

    def __len__(self) -> int:
        return len(self.young) + len(self.middle) + len(self.old)
