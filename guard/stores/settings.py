"""Settings of `[state]` and `[store]`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from guard.lib.fields import Duration, FilePath
from guard.lib.redis_url import Access, RedisUrl, parse_redis_url
from guard.lib.secrets import place_faults

STRIKES_KEPT = 90 * 86400.0
LONGEST_SOCKET = 107  # bytes of a path: unix(7)
_WORDS = ("password_file", "credential")
_TLS = ("tls_ca", "tls_certificate", "tls_private_key")
STANDING_KEPT = 90 * 86400.0  # the longest `[protect] good_standing`


# Where the service keeps its state: `StateDirectory=guard` of the units in systemd/.
SERVICE = Path("/var/lib/guard")
SOCKET = "guard.sock"


def default_state_dir() -> Path:
    """Where state is when nobody said: of the service, for it and for root, else the user's own.

    The service is told by systemd (systemd.exec(5), $STATE_DIRECTORY; that of another unit, which
    runs a command of ours, is none of our business). Root's commands find what it left even when
    it does not run. Else it is `$XDG_STATE_HOME/guard`, or `~/.local/state/guard`.
    """
    told = Path(os.environ.get("STATE_DIRECTORY", "").partition(":")[0])
    if told.is_absolute() and told.name == SERVICE.name:
        return told
    base = os.environ.get("XDG_STATE_HOME")
    if not base and os.geteuid() == 0 and SERVICE.is_dir():
        return SERVICE
    return Path(base or Path.home() / ".local" / "state") / "guard"


@dataclass(frozen=True, kw_only=True)
class StateSettings:
    """`dir` holds spool, embedded store and checkpoints; `socket` is where commands meet us."""

    dir: FilePath = field(default_factory=default_state_dir)
    socket: FilePath | None = None

    @property
    def control(self) -> Path:
        """The control socket, by default inside `dir`: where the daemon answers."""
        return self.socket or self.dir / SOCKET

    def faults(self) -> Iterator[tuple[str, str]]:
        """What no single value shows: (key, message)."""
        if (length := len(os.fsencode(self.control))) > LONGEST_SOCKET:
            yield "socket", f"a path of {length} bytes; no socket has more than {LONGEST_SOCKET}"

    @property
    def meeting(self) -> Path:
        """Where commands ask: the service's socket, when both are left to the default.

        So members of its group find it. Their own daemon, when it runs, comes first.
        """
        service = SERVICE / SOCKET
        if self.socket is not None or self.dir != default_state_dir() or _is_socket(self.control):
            return self.control
        return service if _is_socket(service) else self.control


def _is_socket(path: Path) -> bool:
    try:
        return path.is_socket()
    except OSError:  # in a folder that is not for us
        return False


@dataclass(frozen=True, kw_only=True)
class StoreSettings:
    """`url` is Redis; without it the store is embedded, in the state directory.

    Its password lies in `password_file`, or in the systemd credential `credential`. For rediss://
    `tls_ca` is the CA to believe (the system's, without), and `tls_certificate` with
    `tls_private_key` our own. `strikes` is how long after the end of its last ban an address's
    record is kept.
    """

    url: str | None = field(default=None, repr=False)  # may hold a password
    password_file: FilePath | None = None
    credential: str = ""
    tls_ca: FilePath | None = None
    tls_certificate: FilePath | None = None
    tls_private_key: FilePath | None = None
    strikes: Duration = STRIKES_KEPT

    @property
    def redis(self) -> RedisUrl | None:
        """Where Redis is, with what lets us in; None where the store is embedded."""
        if self.url is None:
            return None
        files = (self.tls_ca, self.tls_certificate, self.tls_private_key)
        access = Access(self.password_file, self.credential, *files)
        return parse_redis_url(self.url)._replace(access=access)

    def place(self, state_dir: Path) -> str:
        """Where the store is, for the operator: without the password."""
        if self.url is None:
            return f"embedded, in {state_dir}"
        return str(parse_redis_url(self.url))

    def faults(self) -> Iterator[tuple[str, str]]:
        """What no single value shows: (key, message)."""
        try:
            url = self.redis
        except ValueError as error:
            yield "url", str(error)
            return
        named = [key for key in (*_WORDS, *_TLS) if getattr(self, key)]
        if url is None:
            yield from ((key, "is for Redis, and there is no url") for key in named)
            return
        for key in named:
            if key in _TLS and not url.tls:
                yield key, "is for TLS, and url does not begin with rediss"
            if key in _WORDS and url.password is not None:
                yield key, "names a second password: url has one already"
        fault = url.access.secret and place_faults(self.password_file, self.credential)
        if fault:
            yield "password_file", fault
        if self.tls_private_key is not None and self.tls_certificate is None:
            yield "tls_private_key", "belongs to tls_certificate, which is missing"
