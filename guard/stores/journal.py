"""What was counted, in one file: a snapshot of all windows, and every batch counted since.

A batch is one entry (frames.py), written before it is counted, and is there after SIGKILL; a power
cut may take the last ones. The mark of the source that it came from is in the same entry, so that
one cannot be there without the other. Reading the file is counting again, and finds again which
windows filled: those that were not settled are told. When the batches outgrow the snapshot, a new
file with a new snapshot takes its place. A damaged end is cut off with a word in the log: better
to forget some rejections than not to start.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from struct import unpack

import msgspec

from guard.events import Batch as Counted
from guard.events import Mark, Offence, Overflow, Part, Window
from guard.jails.window import Hits
from guard.lib.networks import Network
from guard.roles import Unavailable
from guard.stores.frames import Frames
from guard.stores.keys import Key, key_of, network_of

log = logging.getLogger("guard.stores.journal")

MAGIC = b"guard counters 3\n"
OLDER = (b"guard counters 2\n",)  # without marks
SMALLEST_REWRITE = 16 << 20
_pack = msgspec.msgpack.Encoder().encode

Packed = tuple[str, tuple[int, int | bytes, int], float, int]
Sizes = dict[str, tuple[float, ...]]


class Older(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """Some windows of one jail, as the format before wrote them: a time, or packed times."""

    jail: str
    turn: float
    windows: dict[Key, float | bytes]

    def offences(self) -> Iterator[Offence]:
        """What was counted, as if anew."""
        for key, held in self.windows.items():
            times = [held] if isinstance(held, float) else _times(held)
            yield from (Offence(self.jail, network_of(key), time) for time in times)


class Table(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """Some windows of one shelf, as of the snapshot."""

    span: float
    turn: float
    windows: dict[Key, Hits]


class Limits(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """The windows' sizes that the batches after it were counted by."""

    windows: Sizes

    def read(self) -> dict[str, Window]:
        """As they were given."""
        return _windows(self.windows)


class Batch(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Offences of one call."""

    packed: list[Packed]

    def offences(self) -> list[Offence]:
        """As they were counted."""
        return [_unpacked(packed) for packed in self.packed]


class Forgotten(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """A network whose counts were dropped."""

    key: Key

    def network(self) -> Network:
        """Which."""
        return network_of(self.key)


class Once(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """A batch of several parts, with its mark."""

    parts: list[tuple[list[Packed], Sizes]]
    source: str
    place: bytes
    settled: bool

    def batch(self) -> Counted:
        """As it was counted."""
        parts = [
            Part([_unpacked(p) for p in packed], _windows(sizes)) for packed, sizes in self.parts
        ]
        mark = Mark(self.source, self.place) if self.source else None
        return Counted(parts, mark, self.settled)


class Kept(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """Marks of sources, and overflows that were not settled, as of the snapshot."""

    marks: dict[str, bytes]
    overflows: list[tuple[str, Key, float, int]]

    def unsettled(self) -> list[Overflow]:
        """As they were told."""
        return [Overflow(jail, network_of(key), t, n) for jail, key, t, n in self.overflows]


class Sets(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """What the numbers in the tables that follow mean, and the windows of all jails in them."""

    names: list[str]
    known: Sizes

    def windows(self) -> dict[str, Window]:
        """As they were last given."""
        return _windows(self.known)


Entry = Sets | Older | Table | Limits | Batch | Forgotten | Once | Kept
_read = msgspec.msgpack.Decoder(Entry).decode
# What `_pack(Batch(offences))` gives, without building one: an array of tag and offences.
_BATCH = b"\x92\x02"


class Journal:
    """The file of the embedded counters."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threshold = SMALLEST_REWRITE
        self._limits: dict[str, Window] = {}
        self._frames = Frames(path, MAGIC, OLDER)

    def entries(self) -> Iterator[Entry]:
        """All that is in the file, in order. To be read before anything is written."""
        return self._frames.read(_read)

    def note(self, offences: Sequence[Offence], windows: Mapping[str, Window]) -> None:
        """Writes what is counted. Raises Unavailable, with nothing written."""
        limits = [_pack(Limits(dict(windows)))] if windows != self._limits else []
        try:
            packed = _pack(offences)
        except OverflowError:
            packed = _pack([_packed(offence) for offence in offences])
        self._frames.append(*limits, _BATCH + packed)
        self._limits = dict(windows)

    def once(self, batch: Counted) -> None:
        """Writes a batch. Raises Unavailable, with nothing written."""
        self._frames.append(pack_batch(batch))

    def forget(self, *networks: Network) -> None:
        """Writes that `networks` were forgotten. Raises Unavailable."""
        self._frames.append(*(_pack(Forgotten(key_of(network))) for network in networks))

    def tidy(self, snapshot: Callable[[], Iterable[Table | Kept | Sets]]) -> None:
        """Rewrites the file when that is worth its cost; never raises, for nothing is lost."""
        if self._frames.size <= self._threshold:
            return
        try:
            self.rewrite(snapshot())
        except Unavailable as error:
            self._threshold = 2 * self._frames.size
            log.warning("%s; the file grows on", error)

    def rewrite(self, snapshot: Iterable[Table | Kept | Sets]) -> None:
        """Replaces the file by a snapshot. Raises Unavailable, with the old file as it was."""
        self._frames.replace(_pack(entry) for entry in snapshot)
        self._limits = {}
        self._threshold = max(SMALLEST_REWRITE, 2 * self._frames.size)

    def close(self) -> None:
        """Closes the file."""
        self._frames.close()


def pack_batch(batch: Counted) -> bytes:
    """What Once reads, without building one."""
    source, place = batch.mark or ("", b"")
    try:
        return _pack((4, batch.parts, source, place, batch.settled))
    except OverflowError:
        parts = [([_packed(offence) for offence in p.offences], p.windows) for p in batch.parts]
        return _pack((4, parts, source, place, batch.settled))


def _times(packed: bytes) -> tuple[float, ...]:
    return unpack(f"<{len(packed) // 8}d", packed)


def _windows(sizes: Sizes) -> dict[str, Window]:
    return {name: Window(int(size[0]), *size[1:]) for name, size in sizes.items()}


def _packed(offence: Offence) -> Packed:
    """IPv6 does not fit into MessagePack's integers."""
    version, value, length = offence.network
    held: int | bytes = value if version == 4 else value.to_bytes(16, "big")
    return offence.jail, (version, held, length), offence.time, offence.rejections


def _unpacked(packed: Packed) -> Offence:
    jail, (version, value, length), time, rejections = packed
    number = value if isinstance(value, int) else int.from_bytes(value, "big")
    return Offence(jail, Network(version, number, length), time, rejections)
