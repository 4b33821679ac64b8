"""What several processes of one service count together: memory of all, each part written by one.

A process has a seat. It writes only what is its own, and adds up what the others have written, so
that nothing is locked: a number read may be as old as another process's last instruction, and that
is all the error there is. What a process that died had counted goes with `clear`. Time is an
argument, of one clock for all processes of a machine (time.monotonic); memory is bounded.
"""

from __future__ import annotations

import mmap
import os
import secrets
from collections.abc import Iterator, Sequence
from hashlib import blake2b

WAYS, BUCKETS = 8, 8192  # so many keys of one hash, so many hashes: 65,536 keys of each process
NOTES = 4096  # how many notes of each process are kept
MINUTE = 60.0
_PLACES = WAYS * BUCKETS
_HEAD, _CELL, _NOTE = 64, 16, 24
_REGION = _HEAD + _PLACES * (8 + _CELL) + NOTES * _NOTE
_FRONT, _KEY = 4096, 32
_NAME = 8
_LAST_WORD = 7
_WORD = (1 << 64) - 1


class Region:
    """What one process has written: numbers, keys with counts, notes."""

    def __init__(self, memory: memoryview) -> None:
        keys, cells = _HEAD, _HEAD + _PLACES * 8
        notes = cells + _PLACES * _CELL
        self.memory = memory
        self.words = memory[:keys].cast("Q")
        self.keys = memory[keys:cells].cast("Q")
        # Of each key: how many are open, the minute it last came in, how often then and before.
        self.cells = memory[cells:notes].cast("I")
        self.notes = memory[notes:].cast("Q")

    def find(self, bucket: int, key: int) -> int:
        """Where the counts of `key` are; -1 when there are none."""
        row = self.keys[bucket : bucket + WAYS].tolist()
        return (bucket + row.index(key)) * 4 if key in row else -1

    def place(self, bucket: int, key: int, minute: int) -> int:
        """The same, and if need be the place of somebody who left; -1 when all are here."""
        found = self.find(bucket, key)
        if found >= 0:
            return found
        cells, oldest, best = self.cells, -1, minute + 1
        for at in range(bucket * 4, (bucket + WAYS) * 4, 4):
            if not cells[at] and cells[at + 1] < best:
                oldest, best = at, cells[at + 1]
        if oldest >= 0:
            self.keys[oldest // 4] = 0  # nobody may read another's counts as its own
            cells[oldest + 1] = cells[oldest + 2] = cells[oldest + 3] = 0
            self.keys[oldest // 4] = key
        return oldest

    def clear(self) -> None:
        """Nothing is counted here any more; its notes stay readable."""
        words = _LAST_WORD * 8
        self.memory[:words] = bytes(words)
        size = _PLACES * (8 + _CELL)
        self.memory[_HEAD : _HEAD + size] = bytes(size)


class Board:
    """The numbers of one name, as the process of one seat sees them."""

    def __init__(self, regions: Sequence[Region], seat: int, key: bytes) -> None:
        self._mine = regions[seat]
        self._others = [region for number, region in enumerate(regions) if number != seat]
        self._regions, self._read = list(regions), [0] * len(regions)
        self.key = key
        self._factor = int.from_bytes(key[:8], "little") | 1

    # Numbers: whoever writes says how many it has now.

    def tell(self, word: int, number: int) -> None:
        """This process has `number` of what `word` (0 to 6) stands for."""
        self._mine.words[word] = number

    def elsewhere(self, word: int) -> int:
        """How many the other processes have."""
        return sum(region.words[word] for region in self._others)

    # Keys, which come and go.

    def _bucket(self, key: int) -> int:
        # A secret factor: nobody can choose keys that meet in one place.
        return ((key * self._factor & _WORD) >> 51) * WAYS

    def seen(self, key: int, now: float) -> tuple[int, float]:
        """How many of `key` are open elsewhere, and how many came there in the last minute."""
        bucket, minute = self._bucket(key), int(now / MINUTE)
        left = 1 - (now / MINUTE - minute)
        held, recent = 0, 0.0
        for region in self._others:
            at = region.find(bucket, key)
            if at >= 0:
                open_, latest, this, last = region.cells[at : at + 4].tolist()
                held += open_
                if latest == minute:
                    recent += this + last * left
                elif latest == minute - 1:
                    recent += this * left
        return held, recent

    def came(self, key: int, now: float, held: int) -> None:
        """One more of `key` came to this process, which now has `held` open."""
        minute, cells = int(now / MINUTE), self._mine.cells
        at = self._mine.place(self._bucket(key), key, minute)
        if at < 0:
            return
        latest = cells[at + 1]
        if latest != minute:
            cells[at + 3] = cells[at + 2] if latest == minute - 1 else 0
            cells[at + 2] = 0
            cells[at + 1] = minute
        cells[at + 2] += 1
        cells[at] = held

    def holds(self, key: int, held: int) -> None:
        """This process now has `held` of `key` open."""
        at = self._mine.find(self._bucket(key), key)
        if at >= 0:
            self._mine.cells[at] = held

    # Notes: three numbers, read once by every process, who wrote them and who comes later too.

    def note(self, one: int, two: int, time: int) -> None:
        """Leaves a note."""
        head = self._mine.words[_LAST_WORD]
        at = head % NOTES * 3
        notes = self._mine.notes
        notes[at], notes[at + 1], notes[at + 2] = one, two, time
        self._mine.words[_LAST_WORD] = head + 1

    def notes(self) -> Iterator[tuple[int, int, int]]:
        """What was left since the last look, of each process the newest NOTES."""
        for number, region in enumerate(self._regions):
            head = region.words[_LAST_WORD]
            for each in range(max(self._read[number], head - NOTES), head):
                at = each % NOTES * 3
                one, two, time = region.notes[at : at + 3].tolist()
                yield one, two, time
            self._read[number] = head


class Shared:
    """The memory. One process makes it, for some names and seats; the others inherit it."""

    def __init__(self, descriptor: int) -> None:
        """Takes `descriptor` over. Raises OSError or ValueError when it is no such memory."""
        self.descriptor = descriptor
        self._memory = memoryview(mmap.mmap(descriptor, 0))
        front = self._memory[:_FRONT]
        self._seats, count = front[_KEY], front[_KEY + 1]
        self._key = bytes(front[:_KEY])
        names = _KEY + 2
        self._names = [
            bytes(front[names + _NAME * i : names + _NAME * (i + 1)]) for i in range(count)
        ]

    @classmethod
    def make(cls, names: Sequence[str], seats: int) -> Shared:
        """New memory for `seats` processes and what `names` name."""
        descriptor = os.memfd_create("guard", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, _FRONT + len(names) * seats * _REGION)
        named = b"".join(map(_short, names))
        front = secrets.token_bytes(_KEY) + bytes([seats, len(names)]) + named
        os.pwrite(descriptor, front, 0)
        return cls(descriptor)

    def _region(self, index: int, seat: int) -> Region:
        begin = _FRONT + (index * self._seats + seat) * _REGION
        return Region(self._memory[begin : begin + _REGION])

    def board(self, name: str, seat: int) -> Board | None:
        """What `name` stands for, from a seat that begins empty; None when it is not there."""
        if _short(name) not in self._names or seat >= self._seats:
            return None
        index = self._names.index(_short(name))
        regions = [self._region(index, each) for each in range(self._seats)]
        regions[seat].clear()
        return Board(regions, seat, self._key)

    def clear(self, seat: int) -> None:
        """The process of `seat` is gone, and what it had with it."""
        for index in range(len(self._names)):
            self._region(index, seat).clear()


def _short(name: str) -> bytes:
    return blake2b(name.encode(), digest_size=_NAME).digest()
