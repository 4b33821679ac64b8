"""How far a source has read, on disk: moved only when what was read has been counted.

One small JSON file a source, replaced by rename, so that a crash leaves the old place or the new
one. Knows nothing of what a place means.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from guard.roles import Unavailable

T = TypeVar("T")


class Checkpoint(Generic[T]):
    """The places of type `kind`, by name, in the file `path`."""

    def __init__(self, path: Path, kind: type[T]) -> None:
        self.path = path
        self._decoder = msgspec.json.Decoder(dict[str, kind])  # type: ignore[valid-type]
        self._saved: dict[str, T] = {}

    @property
    def saved(self) -> dict[str, T]:
        """What was loaded or saved last."""
        return self._saved

    def load(self) -> dict[str, T]:
        """What was saved last; nothing where nothing was, or where it cannot be understood."""
        try:
            self._saved = self._decoder.decode(self.path.read_bytes())
        except FileNotFoundError:
            self._saved = {}
        except OSError as error:
            raise Unavailable(f"{self.path}: {error.strerror}") from None
        except msgspec.DecodeError:
            raise Unavailable(f"{self.path} is damaged; remove it to begin anew") from None
        return dict(self._saved)

    def save(self, places: dict[str, T]) -> bool:
        """Makes `places` durable; False when they were saved already. Raises Unavailable."""
        if places == self._saved:
            return False
        beside = self.path.with_name(f".{self.path.name}.new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            with beside.open("wb") as file:
                file.write(msgspec.json.encode(places))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.path)
        except OSError as error:
            raise Unavailable(f"{self.path}: {error.strerror}") from None
        self._saved = dict(places)
        return True
