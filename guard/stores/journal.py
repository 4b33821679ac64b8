"""What was counted, in one file: a snapshot of all windows, and every batch counted since.

Entries are `length, CRC-32, MessagePack`. A batch is one entry, written before it is counted, and
is there after SIGKILL; a power cut may take the last ones. Reading the file is counting again. When
the batches outgrow the snapshot, a new file with a new snapshot takes its place. A damaged end is
cut off with a word in the log: better to forget some rejections than not to start.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from struct import Struct
from typing import BinaryIO
from zlib import crc32

import msgspec

from guard.events import Offence, Window
from guard.lib.networks import Network
from guard.roles import Forbidden, Refused, Unavailable
from guard.stores.keys import Key, key_of, network_of
from guard.stores.tables import Generation

log = logging.getLogger("guard.stores.journal")

MAGIC = b"guard counters 2\n"
SMALLEST_REWRITE = 16 << 20
_HEAD = Struct("<II")
_pack = msgspec.msgpack.Encoder().encode

Packed = tuple[str, tuple[int, int | bytes, int], float, int]


class Table(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """Some windows of one jail, as of the snapshot."""

    jail: str
    turn: float
    windows: Generation


class Limits(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """The windows' sizes that the batches after it were counted by."""

    windows: dict[str, tuple[int, float]]


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


Entry = Table | Limits | Batch | Forgotten
_read = msgspec.msgpack.Decoder(Entry).decode
# What `_pack(Batch(offences))` gives, without building one: an array of tag and offences.
_BATCH = b"\x92\x02"


class Journal:
    """The file of the embedded counters."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threshold = SMALLEST_REWRITE
        self._limits: dict[str, Window] = {}
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise Forbidden(f"cannot write {path}: {error.strerror}") from None
        try:
            self._end = self._begin()
        except BaseException:
            os.close(self._file)
            raise

    def _begin(self) -> int:
        """Checks the first line; returns where the file ends."""
        size = os.fstat(self._file).st_size
        first = os.pread(self._file, len(MAGIC), 0)
        if MAGIC.startswith(first):
            os.pwrite(self._file, MAGIC, 0)
        elif first != MAGIC:
            raise Refused(f"{self._path} was written by another release")
        return max(size, len(MAGIC))

    def entries(self) -> Iterator[Entry]:
        """All that is in the file, in order. To be read before anything is written."""
        with open(self._path, "rb") as stream:  # noqa: PTH123 a path of our own, read as a stream
            at = stream.seek(len(MAGIC))
            while head := stream.read(_HEAD.size):
                entry = self._entry(head, stream)
                if entry is None:
                    log.warning("%s is damaged at byte %d: cut off there", self._path, at)
                    os.ftruncate(self._file, at)
                    self._end = at
                    return
                yield entry
                at = stream.tell()

    def _entry(self, head: bytes, stream: BinaryIO) -> Entry | None:
        """The entry after `head`; None when it is not whole."""
        if len(head) < _HEAD.size:
            return None
        length, check = _HEAD.unpack(head)
        payload = stream.read(min(length, self._end))
        if len(payload) != length or crc32(payload) != check:
            return None
        try:
            entry: Entry = _read(payload)
        except msgspec.DecodeError:
            return None
        return entry

    def note(self, offences: Sequence[Offence], windows: Mapping[str, Window]) -> None:
        """Writes a batch. Raises Unavailable, with nothing written."""
        data = b""
        if windows != self._limits:
            data = _framed(_pack(Limits(dict(windows))))
        try:
            packed = _pack(offences)
        except OverflowError:
            packed = _pack([_packed(offence) for offence in offences])
        self._append(data + _framed(_BATCH + packed))
        self._limits = dict(windows)

    def forget(self, network: Network) -> None:
        """Writes that `network` was forgotten. Raises Unavailable."""
        self._append(_framed(_pack(Forgotten(key_of(network)))))

    def _append(self, data: bytes) -> None:
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(self._file, data[written:], self._end + written)
        except OSError as error:
            with suppress(OSError):  # else the next entry overwrites what was written of this one
                os.ftruncate(self._file, self._end)
            raise Unavailable(f"{self._path}: {error.strerror}") from None
        self._end += len(data)

    def tidy(self, tables: Callable[[], Iterable[tuple[str, float, Generation]]]) -> None:
        """Rewrites the file when that is worth its cost; never raises, for nothing is lost."""
        if self._end <= self._threshold:
            return
        try:
            self.rewrite(tables())
        except Unavailable as error:
            self._threshold = 2 * self._end
            log.warning("%s; the file grows on", error)

    def rewrite(self, tables: Iterable[tuple[str, float, Generation]]) -> None:
        """Replaces the file by a snapshot. Raises Unavailable, with the old file as it was."""
        fresh = self._path.with_suffix(".new")
        try:
            descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
            try:
                end = os.write(descriptor, MAGIC)
                for jail, turn, windows in tables:
                    data = _framed(_pack(Table(jail, turn, windows)))
                    while data:
                        written = os.pwrite(descriptor, data, end)
                        end, data = end + written, data[written:]
                os.fsync(descriptor)
                fresh.replace(self._path)
            except BaseException:
                os.close(descriptor)
                raise
        except OSError as error:
            raise Unavailable(f"{fresh}: {error.strerror}") from None
        os.close(self._file)
        self._file, self._end, self._limits = descriptor, end, {}
        self._threshold = max(SMALLEST_REWRITE, 2 * end)

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)


def _framed(payload: bytes) -> bytes:
    return _HEAD.pack(len(payload), crc32(payload)) + payload


def _packed(offence: Offence) -> Packed:
    """IPv6 does not fit into MessagePack's integers."""
    version, value, length = offence.network
    held: int | bytes = value if version == 4 else value.to_bytes(16, "big")
    return offence.jail, (version, held, length), offence.time, offence.rejections


def _unpacked(packed: Packed) -> Offence:
    jail, (version, value, length), time, rejections = packed
    number = value if isinstance(value, int) else int.from_bytes(value, "big")
    return Offence(jail, Network(version, number, length), time, rejections)
