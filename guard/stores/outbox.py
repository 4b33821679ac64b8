"""What this host has to tell Redis, on its own disk before it is told: each batch counts once.

Counting in Redis and moving a source's place on this host cannot be one step. They need not be:

1. A batch is written here with the mark of its source and a number, in one entry. From then on it
   will be counted: the source goes on after it whenever it starts again.
2. The number goes to Redis with the batch. The script remembers, for each hash slot that it writes
   in, the last number of this host and what it answered. When the answer is lost, or this process
   before it noted it, the batch is told again under the same number, and is answered again without
   being counted again. Numbers of one host reach a slot in order, so that the last one is enough.
3. The answer is noted here: the overflows, until the batch that says they are settled. A process
   that is killed before it made claims of them is told of them when it starts again.

While Redis is gone batches stay in step 1, and claims of jails beside them: that is all there is to
an outage. An entry is there after SIGKILL; a power cut may take the last ones. When the disk does
not take an entry, that is said, and what it holds is kept in memory alone.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections import deque
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import NamedTuple

import msgspec

from guard.events import Batch, Claim, Mark, Overflow, Part
from guard.lib.lockfile import hold
from guard.lib.networks import Network, parse_network
from guard.roles import Refused, Unavailable
from guard.stores.frames import Frames
from guard.stores.journal import Once, pack_batch
from guard.stores.keys import Key, key_of, network_of

log = logging.getLogger("guard.stores.outbox")

NAME = "redis.journal"
MAGIC = b"guard outbox 1\n"
TIDY = 4 << 20
PIECE = 2000
STREAM = "guard:rejections"
_pack = msgspec.msgpack.Encoder().encode

Told = list[tuple[str, Key, float, int]]


class Owed(NamedTuple):
    """A batch that Redis has not counted yet, as far as this host knows.

    Numbers are those of one run, `host`: a file that lost its end to a power cut does not make
    Redis take a new batch for an old one.
    """

    host: str
    number: int
    batch: Batch


class Begun(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """Who this host is to Redis, and what is left of entries before."""

    host: str
    number: int
    marks: dict[str, bytes]
    open: Told


class Answer(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Redis counted a batch; `wholly` false: but for what nodes that are gone hold."""

    host: str
    number: int
    wholly: bool
    overflows: Told


class Banned(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """A claim that was made at `now` while Redis was gone."""

    network: str
    source: str
    reason: str
    since: float
    until: float | None
    now: float


class Brought(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """The oldest claim is in Redis."""


class Joined(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """All batches of `host` up to the number `last` are told as one, under that number."""

    host: str
    last: int


# Once, with tag 4, is that of the journal.
Entry = Begun | Answer | Banned | Brought | Joined | Once
_read = msgspec.msgpack.Decoder(Entry).decode


class Outbox:
    """In the file NAME of `folder`, which one process at a time may use; None: in memory alone."""

    def __init__(self, folder: Path | None = None) -> None:
        self.host = secrets.token_hex(8)
        self.marks: dict[str, bytes] = {}
        self.open: list[Overflow] = []  # told and not settled
        self.owed: deque[Owed] = deque()
        self.claims: deque[tuple[Claim, float]] = deque()
        self._doubt: tuple[str, int] | None = None  # told, perhaps, and not answered
        self._partly: dict[tuple[str, int], Owed] = {}
        self.size = 0  # how many offences are owed
        self._number = 0
        self._frames: Frames | None = None
        self._lock = -1
        self._failing = False
        if folder is not None:
            self._lock = _lock(folder / NAME)
            try:
                self._frames = Frames(folder / NAME, MAGIC)
                self._load(self._frames)
            except BaseException:
                self.close()
                raise

    def note(self, batch: Batch) -> Owed | None:
        """Step 1: from now on `batch` is owed; None when there is nothing in it to count."""
        if batch.parts or batch.mark or (batch.settled and self.open):
            self._write(pack_batch(batch))
            return self._noted(batch)
        return None

    def _noted(self, batch: Batch) -> Owed | None:
        self._number += 1
        if batch.mark is not None:
            self.marks[batch.mark.source] = batch.mark.place
        if batch.settled:
            self.open.clear()
        if not batch.parts and (batch.mark is None or batch.mark.source != STREAM):
            return None
        self.owed.append(Owed(self.host, self._number, batch))
        self.size += _size(batch)
        return self.owed[-1]

    def head(self, most: int = PIECE) -> Owed:
        """What is to be told next; from then on it has to be told, as it is, until it is answered.

        Small ones are told together, under the number of the last.
        """
        if self.owed[0][:2] != self._doubt:
            host, last, left = self.owed[0].host, 0, most
            for owed in self.owed:
                left -= _size(owed.batch)
                if owed.host != host or left < 0:
                    break
                last = owed.number
            if last > self.owed[0].number:
                self._write(_pack(Joined(host, last)))
                self._join(host, last)
        self._doubt = self.owed[0][:2]
        return self.owed[0]

    def _join(self, host: str, last: int) -> None:
        parts: list[Part] = []
        places: list[bytes] = []
        while self.owed and self.owed[0].host == host and self.owed[0].number <= last:
            batch = self.owed.popleft().batch
            if batch.mark is not None and batch.mark.source == STREAM:
                places.append(batch.mark.place)
            for part in batch.parts:
                if parts and parts[-1].windows == part.windows:
                    parts[-1] = Part([*parts[-1].offences, *part.offences], part.windows)
                else:
                    parts.append(part)
        mark = Mark(STREAM, b" ".join(places)) if places else None
        self.owed.appendleft(Owed(host, last, Batch(parts, mark)))

    def answered(self, owed: Owed, overflows: Sequence[Overflow], *, wholly: bool = True) -> None:
        """Step 3: `owed`, the oldest, was counted; not `wholly`: there are nodes that are gone."""
        self._write(_pack(Answer(owed.host, owed.number, wholly, _told(overflows))))
        self._answered((owed.host, owed.number), overflows, wholly=wholly)
        if self._frames is not None and self._frames.size > TIDY and not self.owed:
            self._rewrite()

    def _answered(
        self, key: tuple[str, int], overflows: Sequence[Overflow], *, wholly: bool
    ) -> None:
        found = self._partly.pop(key, None)
        if self.owed and self.owed[0][:2] == key:
            found = self.owed.popleft()
            self.size -= _size(found.batch)
        if not wholly and found is not None:
            self._partly[key] = found
        self.open += overflows

    def completed(self, late: AbstractSet[tuple[str, int]]) -> None:
        """Of those that were counted but for some nodes, all but `late` are now."""
        for host, number in [key for key in self._partly if key not in late]:
            self._write(_pack(Answer(host, number, wholly=True, overflows=[])))
            del self._partly[host, number]

    @property
    def kept(self) -> str:
        """What becomes of all this at the end of the process."""
        if self._frames is None or self._failing:
            return "lost: Redis never heard of them"
        return "kept for Redis until the next start"

    def banned(self, claim: Claim, now: float) -> None:
        """Claims of jails are owed, too."""
        self._write(_pack(_banned(claim, now)))
        self.claims.append((claim, now))

    def brought(self) -> None:
        """The oldest claim is in Redis."""
        self._write(_pack(Brought()))
        self.claims.popleft()

    def forget(self, *networks: Network) -> None:
        """Overflows of `networks` are to become claims no more."""
        gone = set(networks)
        kept = [overflow for overflow in self.open if overflow.network not in gone]
        if len(kept) < len(self.open):
            self.open = kept
            self._rewrite()

    def close(self) -> None:
        """Lets go of the file. Safe to repeat."""
        if self._frames is not None:
            self._frames.close()
            self._frames = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _write(self, entry: bytes) -> None:
        if self._frames is None:
            return
        try:
            if self._failing:
                self._frames.replace(self._entries())
            self._frames.append(entry)
        except Unavailable as error:
            if not self._failing:
                log.error("%s; what Redis is owed is only in memory", error)
            self._failing = True
        else:
            self._failing = False

    def _load(self, frames: Frames) -> None:
        host = self.host
        for entry in frames.read(_read):
            self._take(entry)
        # What some nodes of a cluster may not have: the others know the numbers.
        self.owed.extendleft(reversed(self._partly.values()))
        self.size = sum(_size(owed.batch) for owed in self.owed)
        self._doubt = self.owed[0][:2] if self.owed else None
        self._partly.clear()
        self.host, self._number = host, 0
        self._rewrite()

    def _take(self, entry: Entry) -> None:
        if isinstance(entry, Begun):
            self.host, self._number = entry.host, entry.number
            self.marks, self.open = dict(entry.marks), _overflows(entry.open)
        elif isinstance(entry, Once):
            self._noted(entry.batch())
        elif isinstance(entry, Answer):
            key = entry.host, entry.number
            self._answered(key, _overflows(entry.overflows), wholly=entry.wholly)
        elif isinstance(entry, Joined):
            self._join(entry.host, entry.last)
        elif isinstance(entry, Banned):
            self.claims.append((_claim(entry), entry.now))
        elif self.claims:
            self.claims.popleft()

    def _rewrite(self) -> None:
        """Leaves out what is done. The numbers of what is not stay what they are."""
        if self._frames is None:
            return
        try:
            self._frames.replace(self._entries())
        except Unavailable as error:
            log.warning("%s; the file grows on", error)

    def _entries(self) -> Iterator[bytes]:
        for claim, now in self.claims:
            yield _pack(_banned(claim, now))
        for host, number, batch in (*self._partly.values(), *self.owed):
            # A batch has the number after that of the entry before it.
            yield _pack(Begun(host, number - 1, {}, []))
            yield pack_batch(batch._replace(settled=False))
        yield _pack(Begun(self.host, self._number, self.marks, _told(self.open)))


def _lock(path: Path) -> int:
    try:
        return hold(path.with_suffix(".lock"))
    except BlockingIOError:
        raise Refused(
            f"{path} is in use by another guard: each daemon needs a [state] dir of its own"
        ) from None
    except OSError as error:
        raise Unavailable(f"cannot write in {path.parent}: {error.strerror}") from None


def _size(batch: Batch) -> int:
    return sum(len(part.offences) for part in batch.parts)


def _told(overflows: Sequence[Overflow]) -> Told:
    return [(o.jail, key_of(o.network), o.time, o.rejections) for o in overflows]


def _overflows(told: Told) -> list[Overflow]:
    return [Overflow(jail, network_of(key), time, number) for jail, key, time, number in told]


def _banned(claim: Claim, now: float) -> Banned:
    network = str(claim.network)
    return Banned(network, claim.source, claim.reason, claim.since, claim.until, now)


def _claim(row: Banned) -> Claim:
    return Claim(parse_network(row.network), row.source, row.reason, row.since, row.until)
