"""The kernel's word that something in a directory changed: inotify(7), by one descriptor.

For an event loop, which waits for the descriptor with all else. Python has no call for it; what a
library offers reads it in threads of its own, each of which waits for a processor on a busy
machine. Linux only: elsewhere every call raises OSError.
"""

from __future__ import annotations

import ctypes
import errno
import os
from functools import cache
from pathlib import Path

# linux/inotify.h. Reading, opening and closing are no change.
_MODIFY, _ATTRIB, _MOVED, _CREATE, _DELETE = 0x2, 0x4, 0xC0, 0x100, 0x200
_ITSELF_GONE, _ONLY_DIRECTORIES = 0x400 | 0x800, 0x01000000
_CHANGES = _MODIFY | _ATTRIB | _MOVED | _CREATE | _DELETE | _ITSELF_GONE | _ONLY_DIRECTORIES
_NOTICES = 1 << 16


def opened() -> int:
    """A descriptor that is ready to be read when there is news, and never blocks."""
    return _call("inotify_init1", os.O_NONBLOCK | os.O_CLOEXEC)


def add(descriptor: int, folder: Path) -> int:
    """Watches `folder` for changes of what lies in it; the number of the watch."""
    return _call("inotify_add_watch", descriptor, os.fsencode(folder), _CHANGES)


def remove(descriptor: int, watch: int) -> None:
    """Ends a watch; that of a directory that is gone has ended by itself."""
    try:
        _call("inotify_rm_watch", descriptor, watch)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise


def drain(descriptor: int) -> None:
    """Takes what there is to tell, so that the descriptor is ready at the next change only."""
    try:
        os.read(descriptor, _NOTICES)
    except BlockingIOError:
        return


def _call(name: str, *arguments: int | bytes) -> int:
    try:
        result = int(getattr(_libc(), name)(*arguments))
    except AttributeError:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from None
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
