"""Who may log in: a file of users and password hashes, or the operator's own function.

The file is TOML, a line per user: `"ann@example.com" = "$argon2id$v=19$m=19456,t=2,p=1$..."`, or
a hash of scrypt (hashes.py). An attempt costs some 30 ms and 19 MiB; that cost is the point, so it
is bounded: two at a time, and no more waiting than can be answered within a second or two. Who
does not exist costs the same as who does. Passwords are never kept, logged or put in an error.
"""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from guard.lib.faults import Fault
from guard.relay.calls import CallFailed
from guard.relay.hashes import is_hash, stand_in, verify
from guard.relay.hook import Hook
from guard.relay.login import Login
from guard.roles import ConfigError, Unavailable

_THREADS = 2
_WAITING = 64
_DOVECOT = "{ARGON2ID}"  # how `doveadm pw` writes the same hash


def load_credentials(path: Path) -> dict[str, str]:
    """user -> hash. Raises ConfigError with every fault; none shows a hash."""
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError([Fault(str(path), "", error.strerror or str(error))]) from None
    except (ValueError, RecursionError) as error:
        # Not the error's text, which may quote the file.
        raise ConfigError([Fault(str(path), "", f"not TOML{_line(error)}")]) from None
    faults, users = [], {}
    for user, value in data.items():
        users[user] = value.removeprefix(_DOVECOT) if isinstance(value, str) else ""
        if not is_hash(users[user]):
            message = "is no hash of argon2 or scrypt; `guard passwd` makes one"
            faults.append(Fault(str(path), f'"{user}"', message))
    if faults:
        raise ConfigError(faults)
    return users


class PasswordFile:
    """An Authenticator over what `load_credentials` read. `close` it at the end."""

    def __init__(self, users: Mapping[str, str]) -> None:
        self._users = dict(users)
        # With the parameters of the file's own hashes, so that time tells nothing.
        self._nobody = stand_in(next(iter(self._users.values()), None))
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="guard-password")
        self._under_way = 0

    async def check(self, login: Login) -> bool:
        """Whether the password is the user's. Raises Unavailable when too many ask at once."""
        if self._under_way >= _THREADS + _WAITING:
            raise Unavailable("too many passwords to check at once")
        known = self._users.get(login.user)
        self._under_way += 1
        try:
            loop = asyncio.get_running_loop()
            right = await loop.run_in_executor(
                self._threads, verify, known or self._nobody, login.password
            )
        finally:
            self._under_way -= 1
        return right and known is not None

    def close(self) -> None:
        """Takes no more attempts; those under way are answered."""
        self._threads.shutdown(wait=False)


class HookAuthenticator:
    """An Authenticator that asks `check_password` of the operator's policy.py."""

    def __init__(self, hook: Hook) -> None:
        self._hook = hook

    async def check(self, login: Login) -> bool:
        """What the hook says. Raises Unavailable when it raises, hangs or returns rubbish."""
        try:
            return await self._hook.check_password(login)
        except CallFailed as error:
            raise Unavailable(f"{self._hook.file}: check_password {error}") from None

    def close(self) -> None:
        """Holds nothing."""


def _line(error: Exception) -> str:
    line = getattr(error, "lineno", None)  # Python 3.14 has it
    return f", line {line}" if line else ""
