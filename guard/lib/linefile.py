"""A file that lines are appended to: for our records, and for our events.

Writes straight to the file, so that a line is there for its readers (fail2ban, a tailer, our own
source) as soon as it is put, and follows logrotate by itself. The mail goes on when the log
cannot: what could not be written is counted, and said once.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import time
from pathlib import Path

from guard.lib.clock import Clock

log = logging.getLogger("guard.log")

_LOOKS, _WRITING = 5, 0.001  # another process's write of a line takes microseconds
_LOOK = 1.0  # seconds between two looks at whether the file was rotated, or can be opened again


class LineFile:
    """Appends lines to `path`, mode 0640; makes its folder. Used by one thread."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path, self._clock = path, clock
        self.written = 0
        self.dropped = 0
        self._unsaid = 0
        self._descriptor = -1
        self._identity = (0, 0)
        self._looked = float("-inf")
        self._torn = False

    def append(self, lines: bytes) -> None:
        """Appends whole `lines`. Never raises, waits for no reader; counts what it has to drop."""
        number = lines.count(b"\n")
        try:
            self._follow()
            self._write(lines)
        except OSError as error:
            self.drop(number, error.strerror or str(error))
            return
        self.written += number
        if self._unsaid:
            log.warning("%s takes lines again; %d were lost", self.path, self._unsaid)
            self._unsaid = 0

    def drop(self, number: int, reason: str) -> None:
        """Counts `number` lines as lost; says so at the first after a success."""
        self.dropped += number
        if not self._unsaid:
            log.error("%s: %s; lines are lost until it works again", self.path, reason)
        self._unsaid += number

    def close(self) -> None:
        """Lets go of the file; the next line opens whatever then has the name."""
        self._release()
        self._looked = float("-inf")

    def _release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def _follow(self) -> None:
        """Has the right file open, or raises OSError; asks the file system once a second."""
        now = self._clock()
        # A clock that was set back must not make this wait for its old reading.
        if self._looked <= now < self._looked + _LOOK:
            if self._descriptor < 0:
                raise OSError(errno.ENOENT, "could not be opened a moment ago")
            return
        self._looked = now
        if self._descriptor >= 0 and self._rotated():
            self._release()
        if self._descriptor < 0:
            self._open()

    def _rotated(self) -> bool:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return True
        return (found.st_dev, found.st_ino) != self._identity

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Not blocking, because a FIFO without a reader would hold up every session.
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        self._descriptor = os.open(self.path, flags, 0o640)
        found = os.fstat(self._descriptor)
        self._identity = (found.st_dev, found.st_ino)
        # A crash of the machine can leave half a line; ours must not be glued to it.
        self._torn = stat.S_ISREG(found.st_mode) and self._ends_torn()

    def _ends_torn(self) -> bool:
        """Whether the file ends without a line end, and not because somebody writes just now."""
        for _ in range(_LOOKS):
            size = os.fstat(self._descriptor).st_size
            if not size or os.pread(self._descriptor, 1, size - 1) == b"\n":
                return False
            time.sleep(_WRITING)
        return True

    def _write(self, line: bytes) -> None:
        """One write, so that lines of several processes do not mix. Raises OSError."""
        if self._torn:
            line = b"\n" + line
        done = os.write(self._descriptor, line)
        self._torn = done < len(line)
        if self._torn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
