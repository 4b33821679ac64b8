"""The panic switch: while it is on nobody is blocked on this host, and nothing is forgotten.

A Protection around another, for the mirror alone: jails go on counting and claiming, the kernel is
told to let everybody in. It is kept in a file, so that a restart does not end it.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Protocol

from guard.lib.durations import format_duration
from guard.lib.networks import Network
from guard.roles import Forbidden

log = logging.getLogger("guard.protect")
NAME = "paused"


class Inner(Protocol):
    """A Protection that says when it changes."""

    @property
    def version(self) -> int:
        """Goes up with every change."""
        ...

    def protects(self, network: Network) -> str | None:
        """The role's."""
        ...

    def carve(self, network: Network) -> list[Network]:
        """The role's."""
        ...


class Pause:
    """`protection`, and everybody while it is paused; the file lies in `state_dir`."""

    def __init__(self, protection: Inner, state_dir: Path) -> None:
        self._inner, self._path = protection, state_dir / NAME
        self._changes = 0
        self.until = _read(self._path)

    @property
    def version(self) -> int:
        """Goes up with every change of either."""
        return self._inner.version + self._changes

    def protects(self, network: Network) -> str | None:
        """The role's."""
        return "enforcement is paused" if self.until else self._inner.protects(network)

    def carve(self, network: Network) -> list[Network]:
        """The role's."""
        return [] if self.until else self._inner.carve(network)

    def pause(self, until: float) -> None:
        """Lets everybody in until then (inf: until `resume`). Raises Forbidden."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(f"{until!r}\n")
        except OSError as error:
            raise Forbidden(f"cannot write {self._path}: {error.strerror}") from None
        self.until = until
        self._changes += 1

    def resume(self) -> bool:
        """Blocks again whom the ledger says; whether it was paused. Raises Forbidden."""
        was = bool(self.until)
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            raise Forbidden(f"cannot remove {self._path}: {error.strerror}") from None
        self.until = 0.0
        self._changes += was
        return was

    def expire(self, now: float) -> None:
        """Resumes when the time has come."""
        if 0 < self.until <= now:
            self.resume()
            log.warning("the pause is over: enforcement goes on")

    def look(self, now: float) -> None:
        """Takes up what another process has written, which has the switch in its hands."""
        until = _read(self._path)
        until = until if until > now else 0.0
        if until != self.until:
            self.until = until
            self._changes += 1

    def said(self, now: float) -> str:
        """For `guard status`: nothing, or for how long it is paused."""
        if not self.until:
            return ""
        length = None if math.isinf(self.until) else self.until - now
        return f"paused, nobody is blocked here: {format_duration(length)}"


def _read(path: Path) -> float:
    """When the pause ends; 0 is that there is none."""
    try:
        return float(path.read_text("ascii"))
    except FileNotFoundError:
        return 0.0
    except (OSError, ValueError) as error:
        log.error("%s: %s; taken as no pause", path, error)
        return 0.0
