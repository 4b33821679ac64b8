"""A file of entries that only grows: each is `length, CRC-32, payload`, written in one go.

An entry is there wholly or not at all, whenever the process is killed: what was half written is
found by its checksum and cut off, with a word in the log. A power cut may take the last ones. Knows
nothing of what a payload means. One process at a time: that is for the owner to see to.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from struct import Struct
from typing import BinaryIO, TypeVar
from zlib import crc32

from guard.roles import Forbidden, Refused, Unavailable

log = logging.getLogger("guard.stores.frames")

_HEAD = Struct("<II")
T = TypeVar("T")


class Frames:
    """The file `path`, which begins with `magic`, or with one of `older` of the same length."""

    def __init__(self, path: Path, magic: bytes, older: Sequence[bytes] = ()) -> None:
        self._path, self._magic = path, magic
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise Forbidden(f"cannot write {path}: {error.strerror}") from None
        try:
            self.size = self._begin(older)
        except BaseException:
            os.close(self._file)
            raise

    def _begin(self, older: Sequence[bytes]) -> int:
        """Checks the first line; returns where the file ends."""
        size = os.fstat(self._file).st_size
        first = os.pread(self._file, len(self._magic), 0)
        if self._magic.startswith(first) or first in older:
            os.pwrite(self._file, self._magic, 0)
        elif first != self._magic:
            raise Refused(f"{self._path} was written by another release")
        return max(size, len(self._magic))

    def read(self, understand: Callable[[bytes], T]) -> Iterator[T]:
        """What `understand` makes of each payload, in order; before anything is written.

        Where it raises ValueError the file is damaged as well.
        """
        with open(self._path, "rb") as stream:  # noqa: PTH123 a path of our own, read as a stream
            at = stream.seek(len(self._magic))
            while head := stream.read(_HEAD.size):
                try:
                    understood = understand(self._payload(head, stream))
                except ValueError:
                    self._cut(at)
                    return
                yield understood
                at = stream.tell()

    def _payload(self, head: bytes, stream: BinaryIO) -> bytes:
        """What follows `head`. Raises ValueError when it is not whole."""
        length, check = _HEAD.unpack(head) if len(head) == _HEAD.size else (1, 0)
        payload = stream.read(min(length, self.size))
        if len(payload) != length or crc32(payload) != check:
            raise ValueError
        return payload

    def _cut(self, at: int) -> None:
        log.warning("%s is damaged at byte %d: cut off there", self._path, at)
        os.ftruncate(self._file, at)
        self.size = at

    def append(self, *payloads: bytes) -> None:
        """Writes entries, those before the last perhaps without it. Raises Unavailable, with none.

        Only what is in one payload is there together.
        """
        data = b"".join(map(_framed, payloads))
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(self._file, data[written:], self.size + written)
        except OSError as error:
            with suppress(OSError):  # else the next entry overwrites what was written of this one
                os.ftruncate(self._file, self.size)
            raise Unavailable(f"{self._path}: {error.strerror}") from None
        self.size += len(data)

    def replace(self, payloads: Iterable[bytes]) -> None:
        """Makes `payloads` all there is. Raises Unavailable, with the old file as it was."""
        fresh = self._path.with_suffix(".new")
        try:
            descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
            try:
                end = os.write(descriptor, self._magic)
                for payload in payloads:
                    data = _framed(payload)
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
        self._file, self.size = descriptor, end

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)


def _framed(payload: bytes) -> bytes:
    return _HEAD.pack(len(payload), crc32(payload)) + payload
