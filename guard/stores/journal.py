"""What was counted, on disk: a snapshot of all windows, and every batch counted since.

A batch costs one row, whatever it holds, and is there after SIGKILL. When the batches outgrow the
snapshot a new one replaces both. Reading it again is counting it again. What lies here was written
by us and is read strictly; it is still only data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from guard.events import Offence, Window
from guard.lib.networks import Network
from guard.roles import Refused
from guard.stores.database import Database
from guard.stores.keys import Key, key_of, network_of

_SCHEMA = """
CREATE TABLE snapshot (jail TEXT, turn REAL, windows BLOB);
CREATE TABLE batches (id INTEGER PRIMARY KEY, windows BLOB, offences BLOB)
"""
_VERSION = 1
_SMALLEST_REWRITE = 16 << 20

Packed = tuple[str, tuple[int, int | bytes, int], float, int]
_pack = msgspec.msgpack.Encoder().encode
_read_windows = msgspec.msgpack.Decoder(dict[str, tuple[int, float]]).decode
_read_offences = msgspec.msgpack.Decoder(list[Packed]).decode
_read_snapshot = msgspec.msgpack.Decoder(dict[Key, bytes]).decode
_read_key = msgspec.msgpack.Decoder(Key).decode

Read = TypeVar("Read")
Batch = tuple[list[Offence], dict[str, Window]]


class Journal:
    """The file of the embedded counters."""

    def __init__(self, path: Path) -> None:
        self._file = Database(path, schema=_SCHEMA, version=_VERSION, durable=False)
        self._noted = 0
        self._threshold = _SMALLEST_REWRITE

    def snapshot(self) -> Iterator[tuple[str, float, dict[Key, bytes]]]:
        """Jail, turn and windows of each table at the last snapshot. Raises Refused."""
        for jail, turn, windows in self._file.query("SELECT jail, turn, windows FROM snapshot"):
            yield jail, turn, self._read(_read_snapshot, windows)

    def since(self) -> Iterator[Batch | Network]:
        """Batches counted and networks forgotten since the snapshot, in order. Raises Refused."""
        for windows, held in self._file.query("SELECT windows, offences FROM batches ORDER BY id"):
            if windows is None:
                yield network_of(self._read(_read_key, held))
                continue
            limits = {n: Window(*w) for n, w in self._read(_read_windows, windows).items()}
            yield [_unpacked(packed) for packed in self._read(_read_offences, held)], limits

    def note(self, offences: Sequence[Offence], windows: Mapping[str, Window]) -> None:
        """Writes a batch. Raises Unavailable."""
        try:
            packed = _pack(offences)
        except OverflowError:
            packed = _pack([_packed(offence) for offence in offences])
        self._insert(_pack(windows), packed)

    def forget(self, network: Network) -> None:
        """Writes that `network` was forgotten. Raises Unavailable."""
        self._insert(None, _pack(key_of(network)))

    def _insert(self, windows: bytes | None, packed: bytes) -> None:
        with self._file.transaction() as connection:
            connection.execute("INSERT INTO batches VALUES (NULL, ?, ?)", (windows, packed))
        self._noted += len(packed)

    @property
    def overgrown(self) -> bool:
        """Whether a new snapshot is worth its cost."""
        return self._noted > self._threshold

    def rewrite(self, tables: Iterable[tuple[str, float, dict[Key, bytes]]]) -> None:
        """Replaces everything by a snapshot. Raises Unavailable."""
        written = 0
        with self._file.transaction() as connection:
            connection.execute("DELETE FROM snapshot")
            connection.execute("DELETE FROM batches")
            for jail, turn, windows in tables:
                packed = _pack(windows)
                written += len(packed)
                connection.execute("INSERT INTO snapshot VALUES (?, ?, ?)", (jail, turn, packed))
        self._noted, self._threshold = 0, max(_SMALLEST_REWRITE, written)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _read(self, decode: Callable[[bytes], Read], data: bytes) -> Read:
        try:
            return decode(data)
        except msgspec.DecodeError as error:
            raise Refused(f"{self._file.path} is damaged: {error}") from None


def _packed(offence: Offence) -> Packed:
    """IPv6 does not fit into MessagePack's integers."""
    version, value, length = offence.network
    held: int | bytes = value if version == 4 else value.to_bytes(16, "big")
    return offence.jail, (version, held, length), offence.time, offence.rejections


def _unpacked(packed: Packed) -> Offence:
    jail, (version, value, length), time, rejections = packed
    number = value if isinstance(value, int) else int.from_bytes(value, "big")
    return Offence(jail, Network(version, number, length), time, rejections)
