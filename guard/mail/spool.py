"""Durable spool: a message is one file, written in `tmp/`, moved by rename into `new/`.

A file in `new/` is whole: its first line is the envelope in JSON, the rest is the message as it
was received. It never changes again; what becomes of its delivery is written beside it (queue.py).
A commit is flush, fsync, rename, fsync of the directory, in this order, so that what anybody said
250 to survives a kill, a crash and a power cut. Files in `tmp/` belong to whoever holds their
flock; without a holder they are leftovers of a process that died and nobody was promised them.

Trusts the file system to keep what fsync said it keeps. Never parses the message. Several
processes may receive into one folder.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from guard.lib.clock import Clock
from guard.lib.clock import now as machine_clock
from guard.roles import Refused, Unavailable

log = logging.getLogger("guard.spool")

_BUFFER = 64 * 1024
_TMP, _NEW = "tmp", "new"

Step = Callable[[str], None]
"""Told the name of each step of a commit when it is done; tests end the process there."""


class Envelope(msgspec.Struct, frozen=True):
    """What SMTP said about a message. `created` is when it began, seconds since the epoch."""

    id: str
    sender: str
    recipients: list[str]
    meta: dict[str, str]
    created: float


def new_id(now: float) -> str:
    """32 hexadecimal digits that nobody else draws; later ones sort after earlier ones.

    The first 12 are milliseconds since the epoch (the order of RFC 9562, version 7), the next 4 a
    fraction of one.
    """
    return f"{int(now * 1000 * 0x10000) & 0xFFFFFFFFFFFFFFFF:016x}{secrets.token_hex(8)}"


def age(id_: str, now: float) -> float:
    """How old the message of this id is, in seconds; 0 for no id, and for one that is not ours."""
    try:
        return max(0.0, now - int(id_[:12], 16) / 1000)
    except ValueError:
        return 0.0


@contextmanager
def unavailable(doing: str) -> Iterator[None]:
    """Turns what a file system says into Unavailable, with what was being done."""
    try:
        yield
    except OSError as error:
        raise Unavailable(f"spool: {doing}: {error.strerror or error}") from error


def sync_folder(folder: Path) -> None:
    """Makes the names in `folder` durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path, mode: int = 0o777) -> None:
    """Makes `path` and what is above it, durably: a folder that a power cut undoes loses all in it.

    Raises OSError.
    """
    if path.is_dir():
        return
    if path.exists():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    make_folder(path.parent)
    path.mkdir(mode=mode, exist_ok=True)
    sync_folder(path.parent)


def _check_writable(folder: Path) -> None:
    """Raises OSError when nothing can be written in `folder`, with the reason."""
    if not os.access(folder, os.W_OK):
        read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
        number = errno.EROFS if read_only else errno.EACCES
        raise OSError(number, os.strerror(number))


def write_all(descriptor: int, data: bytes) -> None:
    """Writes all of `data`; a disk that is nearly full takes a part at first. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


class FileSpool:
    """A spool in `folder`, which holds `tmp/` and `new/`."""

    def __init__(
        self, folder: Path, *, clock: Clock = machine_clock, step: Step = lambda _: None
    ) -> None:
        self.folder, self._clock, self._step = folder, clock, step
        self.tmp, self.new = folder / _TMP, folder / _NEW

    def open(self) -> None:
        """Makes the directories and removes what dead processes left in `tmp/`. Raises Refused.

        Safe while another process receives into the same folder.
        """
        try:
            for part in (self.folder, self.tmp, self.new):
                make_folder(part, 0o700)
            with os.scandir(self.tmp) as entries:
                files = [Path(e.path) for e in entries if e.is_file(follow_symlinks=False)]
            removed = sum(map(_remove_abandoned, files))
            _check_writable(self.tmp)
            _check_writable(self.new)
        except OSError as error:
            raise Refused(f"spool {self.folder}: {error.strerror or error}") from error
        if removed:
            log.info("removed %d unfinished messages that a dead process left behind", removed)

    def create(
        self, sender: str, recipients: Sequence[str], meta: Mapping[str, str], *, id_: str = ""
    ) -> IncomingFile:
        """Begins a message with its envelope. Raises Unavailable when the disk does not take it.

        Raises Refused when the envelope is not Unicode text (lone surrogates). A message with a
        given `id_` takes the place of the one that has it.
        """
        now = self._clock()
        envelope = Envelope(id_ or new_id(now), sender, list(recipients), dict(meta), now)
        try:
            line = msgspec.json.encode(envelope) + b"\n"
        except UnicodeEncodeError as error:
            raise Refused(f"spool: an envelope that is not text: {error.reason}") from error
        incoming = IncomingFile(self, envelope.id, self._step)
        incoming.write(line)
        return incoming


class IncomingFile:
    """One message that is being received. `id` is what commit will return."""

    def __init__(self, spool: FileSpool, id_: str, step: Step) -> None:
        self.id, self._step = id_, step
        self._tmp, self._new = spool.tmp / id_, spool.new / id_
        self._buffer = bytearray()
        with unavailable("creating a message"):
            self._descriptor = _create_locked(self._tmp)
        step("created")

    def write(self, data: bytes) -> None:
        """Adds bytes of the message. Raises Unavailable when the disk does not take them.

        After that, the message cannot be committed any more.
        """
        if self._descriptor < 0:
            raise Unavailable("spool: the message was given up")
        self._buffer += data
        if len(self._buffer) >= _BUFFER:
            self._flush()

    def commit(self) -> str:
        """Makes the message durable and returns its id. Raises Unavailable, with nothing kept."""
        if self._descriptor < 0:
            raise Unavailable("spool: the message was given up")
        self._flush()
        self._step("flushed")
        try:
            os.fsync(self._descriptor)
            self._step("synced")
            self._tmp.rename(self._new)
            self._step("renamed")
            sync_folder(self._new.parent)
            self._step("folder synced")
        except OSError as error:
            # Nobody can tell what such a disk holds; the sender keeps its copy and tries again.
            self.abort()
            raise Unavailable(f"spool: keeping a message: {error.strerror or error}") from error
        self._close()
        self._step("committed")
        return self.id

    def abort(self) -> None:
        """Forgets the message; does nothing after commit."""
        if self._descriptor < 0:
            return
        for path in (self._tmp, self._new):
            with suppress(OSError):
                path.unlink(missing_ok=True)
        self._close()

    def _flush(self) -> None:
        try:
            write_all(self._descriptor, bytes(self._buffer))
        except OSError as error:
            self.abort()
            raise Unavailable(f"spool: writing a message: {error.strerror or error}") from error
        self._buffer.clear()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        self._buffer.clear()
        with suppress(OSError):
            os.close(descriptor)

    def __del__(self) -> None:
        if getattr(self, "_descriptor", -1) >= 0:
            self.abort()


def _create_locked(path: Path) -> int:
    """A new file that carries our flock. Raises OSError.

    Between creation and lock another process that opens the spool may take it for a leftover and
    remove it; then the next attempt gets a fresh one.
    """
    while True:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                return descriptor
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _remove_abandoned(path: Path) -> bool:
    """Removes `path` unless a living process holds it; says whether it did."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        path.unlink(missing_ok=True)
        return True
    finally:
        os.close(descriptor)
