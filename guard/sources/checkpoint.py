"""How far a source has read, on disk: moved only when what was read has been counted.

One small JSON file a source, replaced by rename, so that a crash leaves the old place or the new
one. While the disk does not take it (it is full), the place is kept in memory and written later: a
source goes on, and does not hear twice what was counted. Knows nothing of what a place means.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from guard.roles import Unavailable

log = logging.getLogger("guard.sources")
T = TypeVar("T")


class Checkpoint(Generic[T]):
    """The places of type `kind`, by name, in the file `path`."""

    def __init__(self, path: Path, kind: type[T]) -> None:
        self.path = path
        self._decoder = msgspec.json.Decoder(dict[str, kind])  # type: ignore[valid-type]
        self._places: dict[str, T] | None = None
        self._written: dict[str, T] = {}
        self._failing = False

    @property
    def saved(self) -> dict[str, T]:
        """The places that were loaded or saved last."""
        return self._places or {}

    def load(self) -> dict[str, T]:
        """What was saved last; nothing where nothing was.

        Raises Unavailable when the file cannot be read or understood: to begin anew in silence
        would count everything twice.
        """
        if self._places is None:
            try:
                self._written = self._decoder.decode(self.path.read_bytes())
            except FileNotFoundError:
                self._written = {}
            except OSError as error:
                raise Unavailable(f"{self.path}: {error.strerror}") from None
            except msgspec.DecodeError:
                raise Unavailable(f"{self.path} is damaged; remove it to begin anew") from None
            self._places = dict(self._written)
        return dict(self._places)

    def save(self, places: dict[str, T]) -> bool:
        """Makes `places` durable if it can; False when they have not moved."""
        moved = places != self._places
        self._places = dict(places)
        if places == self._written:
            return moved
        try:
            self._write(places)
        except OSError as error:
            if not self._failing:
                log.error("%s: %s; the place is only in memory", self.path, error.strerror)
            self._failing = True
        else:
            self._written, self._failing = dict(places), False
        return moved

    def _write(self, places: dict[str, T]) -> None:
        beside = self.path.with_name(f".{self.path.name}.new")
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        with beside.open("wb") as file:
            file.write(msgspec.json.encode(places))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.path)
