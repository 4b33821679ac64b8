"""One log file on disk, known by its inode and its first bytes, never by its name.

A place is an offset in what the file holds unpacked, at the beginning of a line, so that the copy
and the packed copy of a file are read on from the same place. Reads only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import msgspec

from guard.sources.lines import Lines
from guard.sources.tally import DAMAGED, Tally
from guard.sources.unpack import HEAD, Damaged, Plain, unpacker_for

BLOCK = 256 << 10
KNOWN_BY = 512  # first bytes by which a file is known again

_NUMBERED = re.compile(r".*[.-](\d{1,4})(?:\.gz|\.zst)?")
PACKED = (".gz", ".zst")
# logrotate's names: NAME.1, NAME.2.gz, NAME-20260315, and with its `extension` STEM-20260315.EXT.
# .backup: the new file, where a program had made one before logrotate could.
_ROTATED = r"{}[.-]\d[\d.T_-]*(?:{})?(?:\.backup)?(?:\.gz|\.zst)?"


class Place(msgspec.Struct, frozen=True):
    """`offset` bytes and `line` lines of the file that had `inode` and began with `head`.

    `head` is a digest of the first `known_by` bytes, `written` when it was last written to (in
    nanoseconds). `turn` counts the files that one path named, so that the id of a line stays its
    own.
    """

    inode: int
    offset: int
    line: int
    turn: int
    head: str
    known_by: int
    written: int


class LogFile:
    """The file `path`, open. Raises OSError where it cannot be read."""

    def __init__(self, path: Path, turn: int, offset: int = 0, line: int = 0) -> None:
        self.path, self.turn, self.offset = path, turn, offset
        self.retires: float | None = None  # when nobody writes to it any more
        self.tally = Tally(lines=line)
        self.taken = 0  # bytes of the file itself
        self._file = path.open("rb", buffering=0)
        self._lines = Lines()
        self._at = offset
        self._skip = 0
        self._unpacker = unpacker_for(os.pread(self._file.fileno(), HEAD, 0))
        if isinstance(self._unpacker, Plain):
            self.taken = self._file.seek(offset)
        else:
            self._skip = offset
        self.known = head_of(path, min(KNOWN_BY, offset))

    @property
    def status(self) -> os.stat_result:
        """Size and inode as they are now."""
        return os.fstat(self._file.fileno())

    @property
    def place(self) -> Place:
        """Where it stands."""
        status, digest = self.status, digest_of(self.known)
        return Place(
            inode=status.st_ino,
            offset=self.offset,
            line=self.tally.lines,
            turn=self.turn,
            head=digest,
            known_by=len(self.known),
            written=status.st_mtime_ns,
        )

    @property
    def begins_anew(self) -> bool:
        """Whether what was read of it is not in it any more."""
        if self.status.st_size < self.taken:
            return True
        plain = isinstance(self._unpacker, Plain)
        return plain and os.pread(self._file.fileno(), len(self.known), 0) != self.known

    def read(self) -> list[bytes | None] | None:
        """The next runs of lines, maybe none; None at the present end."""
        block = self._file.read(BLOCK)
        if not block:
            return None
        self.taken += len(block)
        runs: list[bytes | None] = []
        try:
            self._unpacker.feed(block, lambda piece: runs.extend(self._feed(piece)))
        except Damaged:
            self.tally.fault(DAMAGED, str(self.path), self.tally.lines + 1)
            self.taken = self._file.seek(0, os.SEEK_END)
        return runs

    def rest(self) -> list[bytes | None]:
        """A last line without an end, when no more will come."""
        rest, self._lines.rest = self._lines.rest, b""
        return [rest] if rest else []

    def close(self) -> None:
        """Lets go of it."""
        self._file.close()

    def _feed(self, piece: bytes) -> list[bytes | None]:
        skipped = min(self._skip, len(piece))
        self._skip -= skipped
        piece = piece[skipped:]
        if len(self.known) < KNOWN_BY and self._at == len(self.known):
            self.known += piece[: KNOWN_BY - len(self.known)]
        self._at += len(piece)
        runs = self._lines.feed(piece)
        if not self._lines.skipping:
            self.offset = self._at - len(self._lines.rest)
        return runs


def head_of(path: Path, size: int) -> bytes:
    """The first `size` bytes of what a file holds, unpacked; fewer where there are fewer."""
    if not size:
        return b""
    found = b""

    def take(piece: bytes) -> None:
        nonlocal found
        found += piece[: size - len(found)]

    with path.open("rb") as file:
        block = file.read(max(size, HEAD))
        unpacker = unpacker_for(block)
        while block and len(found) < size:
            try:
                unpacker.feed(block, take)
            except Damaged:
                break
            block = file.read(4096)
    return found


def digest_of(head: bytes) -> str:
    """What a Place knows of the first bytes."""
    return blake2b(head, digest_size=12).hexdigest()


def rotated(path: Path, olddir: Path | None = None) -> list[Path]:
    """What logrotate made of `path` and still keeps beside it or in `olddir`, oldest first."""
    name, stem, suffix = (re.escape(text) for text in (path.name, path.stem, path.suffix))
    shapes = [re.compile(_ROTATED.format(name, ""))]
    if suffix:
        shapes.append(re.compile(_ROTATED.format(stem, suffix)))
    found: dict[str, tuple[int, Path]] = {}
    for folder in (path.parent, olddir):
        if folder is None or (folder == olddir and not folder.is_dir()):
            continue
        with os.scandir(folder) as entries:
            for entry in entries:
                if any(shape.fullmatch(entry.name) for shape in shapes) and entry.is_file():
                    found[entry.name] = (entry.stat().st_mtime_ns, folder / entry.name)
    # While a file is being packed both are there, and the packed one is not whole.
    whole = [n for n in found if not (n.endswith(PACKED) and n.rpartition(".")[0] in found)]
    numbers = {n: int(m[1]) for n in whole if (m := _NUMBERED.fullmatch(n))}
    if len(numbers) == len(whole):
        whole.sort(key=lambda n: -numbers[n])
    elif numbers:
        whole.sort(key=lambda n: (found[n][0], -numbers.get(n, 0), n))
    else:
        whole.sort()  # dates
    return [found[n][1] for n in whole]


def find(place: Place, paths: Sequence[Path]) -> Path | None:
    """Where the file of `place` is now: renamed, else copied, else packed. None if it is gone.

    A file of which nothing was read cannot be known again: inodes are soon used anew.
    """
    holding = []
    for path in paths if place.known_by else ():
        try:
            status = path.stat()
            head = head_of(path, place.known_by)
        except OSError:
            continue
        packed = path.name.endswith(PACKED)
        if digest_of(head) != place.head or (status.st_size < place.offset and not packed):
            continue
        if status.st_ino == place.inode and not packed:
            return path
        holding.append(path)
    return holding[-1] if holding else None
