"""Settings of `[state]` and `[store]`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from guard.lib.fields import Duration, FilePath
from guard.lib.redis_url import parse_redis_url

STRIKES_KEPT = 90 * 86400.0
LONGEST_SOCKET = 107  # bytes of a path: unix(7)
STANDING_KEPT = 90 * 86400.0  # the longest `[protect] good_standing`


def default_state_dir() -> Path:
    """`$XDG_STATE_HOME/guard`, or `~/.local/state/guard`."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "guard"


@dataclass(frozen=True, kw_only=True)
class StateSettings:
    """`dir` holds spool, embedded store and checkpoints; `socket` is where commands meet us."""

    dir: FilePath = field(default_factory=default_state_dir)
    socket: FilePath | None = None

    @property
    def control(self) -> Path:
        """The control socket, by default inside `dir`."""
        return self.socket or self.dir / "guard.sock"

    def faults(self) -> Iterator[tuple[str, str]]:
        """What no single value shows: (key, message)."""
        if (length := len(os.fsencode(self.control))) > LONGEST_SOCKET:
            yield "socket", f"a path of {length} bytes; no socket has more than {LONGEST_SOCKET}"


@dataclass(frozen=True, kw_only=True)
class StoreSettings:
    """`url` is Redis; without it the store is embedded, in the state directory.

    `strikes` is how long after the end of its last ban an address's record is kept.
    """

    url: str | None = field(default=None, repr=False)  # may hold a password
    strikes: Duration = STRIKES_KEPT

    def place(self, state_dir: Path) -> str:
        """Where the store is, for the operator: without the password."""
        if self.url is None:
            return f"embedded, in {state_dir}"
        return str(parse_redis_url(self.url))

    def faults(self) -> Iterator[tuple[str, str]]:
        """What no single value shows: (key, message)."""
        if self.url is not None:
            try:
                parse_redis_url(self.url)
            except ValueError as error:
                yield "url", str(error)
