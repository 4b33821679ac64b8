"""One Guard at a time keeps a back end: two ledgers in one kernel would undo each other's bans.

The mark is the name of an abstract socket: it belongs to the network namespace, as the firewall
does, and ends with its process. Anybody may take such a name, so that a holder counts only when it
may change the firewall; of any other nothing is believed.
"""

from __future__ import annotations

import errno
import logging
import socket
import struct
import time
from pathlib import Path

from guard.firewall.privileges import NET_ADMIN, held
from guard.roles import Unavailable

_log = logging.getLogger(__name__)
_PATIENCE, _PAUSE, _ASKED = 10.0, 0.1, 0.5
_CREDENTIALS = struct.Struct("3i")
# Whoever asks who holds a mark is never answered, and stands in its queue from then on.
_QUEUE = 4096


class Marks:
    """The back ends that this process keeps."""

    def __init__(self, patience: float = _PATIENCE) -> None:
        """`patience` is how many seconds a Guard that ends just now may take."""
        self._patience = patience
        self._held: dict[str, socket.socket] = {}

    def take(self, name: str) -> None:
        """Marks a back end as kept. Raises Unavailable when another Guard keeps it.

        Does nothing in a process that cannot keep one.
        """
        if name in self._held or NET_ADMIN not in held():
            return
        mark = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if _bound(mark, name, self._patience):
                self._held[name] = mark
        finally:
            if name not in self._held:
                mark.close()

    def release(self, name: str) -> None:
        """The other way round; safe to repeat."""
        if name in self._held:
            self._held.pop(name).close()


def holder(name: str) -> int:
    """The process that keeps the back end `name` in this network namespace; 0 for none."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(_ASKED)
        try:
            asking.connect(_address(name))
            told = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        except OSError:
            return 0
    process: int = _CREDENTIALS.unpack(told)[0]
    return process if _privileged(process) else 0


def _bound(mark: socket.socket, name: str, patience: float) -> bool:
    """Whether `mark` got the name; not where somebody who is no Guard has it."""
    deadline, doubts = time.monotonic() + patience, 0
    while True:
        try:
            mark.bind(_address(name))
            mark.listen(_QUEUE)
        except OSError as error:
            process = holder(name)
            doubts += not process
            if error.errno != errno.EADDRINUSE or doubts > 2:
                _log.warning("cannot tell whether another Guard keeps %s: %s", name, error)
                return False
            if process and time.monotonic() > deadline:
                said = f"another Guard (process {process}) keeps {name} on this machine"
                raise Unavailable(f"{said}; two would undo each other's bans") from error
        else:
            return True
        time.sleep(_PAUSE)


def _address(name: str) -> str:
    return f"\0guard-firewall-{name}"


def _privileged(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False
    words = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return bool(int(words.get("CapEff", "0").strip(), 16) >> NET_ADMIN & 1)
