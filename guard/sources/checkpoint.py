"""How far a source has read, on disk: moved only when what was read has been counted.

One small JSON file a source, replaced by rename, so that a crash leaves the old place or the new
one. While the disk does not take it (it is full), the place is kept in memory and written later: a
source goes on, and does not hear twice what was counted. Knows nothing of what a place means.

Counting and moving the file are two steps, and a crash may come between them. So a place can be
given away as a mark, which whoever counts keeps in the same step as the counts; after a start the
later of the two is taken, and the file may follow a mark a second later, which spares the disk a
write for each batch. Marks and file have a number to tell, and a word that is new with each file:
when the operator removes it, to begin anew, marks of before mean nothing.
"""

from __future__ import annotations

import logging
import os
import secrets
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from guard.roles import Unavailable

log = logging.getLogger("guard.sources")
T = TypeVar("T")


class Saved(msgspec.Struct, Generic[T], frozen=True):
    """What the file holds: places by name, the file's word and how often it moved."""

    life: str
    number: int
    places: dict[str, T]


class Checkpoint(Generic[T]):
    """The places of type `kind`, by name, in the file `path`."""

    def __init__(self, path: Path, kind: type[T]) -> None:
        self.path = path
        self._decoder = msgspec.json.Decoder(Saved[kind])  # type: ignore[valid-type]
        self._older = msgspec.json.Decoder(dict[str, kind])  # type: ignore[valid-type]
        self._life, self._number = secrets.token_hex(8), 0
        self._places: dict[str, T] | None = None
        self._written: dict[str, T] | None = None
        self._failing = False
        self._mark: bytes | None = None

    @property
    def key(self) -> str:
        """What tells this source from others, after every start."""
        return self.path.stem

    @property
    def saved(self) -> dict[str, T]:
        """The places that were loaded or saved last."""
        return self._places or {}

    def resume(self, mark: bytes | None) -> None:
        """The mark that was counted last; `load` goes on there if it is later than the file."""
        self._mark = mark

    def load(self) -> dict[str, T]:
        """What was saved or marked last; nothing where nothing was.

        Raises Unavailable when the file cannot be read or understood: to begin anew in silence
        would count everything twice.
        """
        if self._places is None:
            self._read()
        try:
            marked = None if self._mark is None else self._decoder.decode(self._mark)
        except msgspec.DecodeError:  # of another release
            marked = None
        if marked is not None and marked.life == self._life and marked.number > self._number:
            self._number, self._places = marked.number, dict(marked.places)
        return dict(self._places or {})

    def _read(self) -> None:
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            self._places = {}
            return
        except OSError as error:
            raise Unavailable(f"{self.path}: {error.strerror}") from None
        try:
            found = self._understood(data)
        except msgspec.DecodeError:
            raise Unavailable(f"{self.path} is damaged; remove it to begin anew") from None
        self._places = dict(found)

    def _understood(self, data: bytes) -> dict[str, T]:
        """The places in `data`, as written now or by a release that knew no marks."""
        try:
            found = self._decoder.decode(data)
        except msgspec.DecodeError:
            places: dict[str, T] = self._older.decode(data)
            return places
        self._life, self._number = found.life, found.number
        self._written = dict(found.places)
        return found.places

    def mark(self, places: dict[str, T]) -> bytes:
        """`places` as they will be saved next, for whoever counts what was read up to there."""
        if self._written is None:  # its word has to be on disk before a mark of it is
            self._save(dict(self._places or {}))
        return msgspec.json.encode(Saved(self._life, self._number + 1, places))

    def save(self, places: dict[str, T], *, later: bool = False) -> bool:
        """Makes `places` durable if it can; False when they have not moved.

        `later` leaves it to the next call, or to `flush`: whoever counts has them as a mark.
        """
        moved = places != self._places
        if moved:
            self._number += 1
        self._places = dict(places)
        if not later:
            self.flush()
        return moved

    def flush(self) -> None:
        """Writes what was saved and is not in the file yet."""
        if self._places is not None and self._places != self._written:
            self._save(self._places)

    def _save(self, places: dict[str, T]) -> None:
        try:
            self._write(places)
        except OSError as error:
            if not self._failing:
                log.error("%s: %s; the place is only in memory", self.path, error.strerror)
            self._failing = True
        else:
            self._written, self._failing = dict(places), False

    def _write(self, places: dict[str, T]) -> None:
        beside = self.path.with_name(f".{self.path.name}.new")
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        with beside.open("wb") as file:
            file.write(msgspec.json.encode(Saved(self._life, self._number, places)))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.path)
