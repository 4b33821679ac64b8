"""Who may log in: a file of users and password hashes, or the operator's own function.

The file is TOML, a line per user: `"ann@example.com" = "$argon2id$v=19$m=19456,t=2,p=1$..."`.
The hash is argon2 (RFC 9106) with the parameters that OWASP names as the least, some 30 ms and
19 MiB for each attempt; that cost is the point, so it is bounded: two at a time, and no more
waiting than can be answered within a second or two. Who does not exist costs the same as who
does. Passwords are never kept, logged or put in an error.
"""

from __future__ import annotations

import asyncio
import re
import tomllib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import argon2

from guard.lib.faults import Fault
from guard.relay.calls import CallFailed
from guard.relay.hook import Hook
from guard.relay.login import Login
from guard.roles import ConfigError, Unavailable

_HASHER = argon2.PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
_THREADS = 2
_WAITING = 64
_HASH = re.compile(
    r"\$argon2(id|i|d)\$v=\d+\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{16,}", re.ASCII
)
_DOVECOT = "{ARGON2ID}"  # how `doveadm pw` writes the same hash


def hash_password(password: str) -> str:
    """What a credentials file holds for `password`; new salt, new text each time."""
    return _HASHER.hash(password)


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
        if not _HASH.fullmatch(users[user]):
            message = "is no argon2 hash; `guard passwd` makes one"
            faults.append(Fault(str(path), f'"{user}"', message))
    if faults:
        raise ConfigError(faults)
    return users


class PasswordFile:
    """An Authenticator over what `load_credentials` read. `close` it at the end."""

    def __init__(self, users: Mapping[str, str]) -> None:
        self._users = dict(users)
        # With the parameters of the file's own hashes, so that time tells nothing.
        model = next(iter(self._users.values()), None)
        self._nobody = _like(model).hash("") if model else hash_password("")
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
                self._threads, _verify, known or self._nobody, login.password
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


def _verify(hashed: str, password: str) -> bool:
    try:
        return _HASHER.verify(hashed, password)
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False


def _like(hashed: str) -> argon2.PasswordHasher:
    some = argon2.extract_parameters(hashed)
    return argon2.PasswordHasher(
        some.time_cost, some.memory_cost, some.parallelism, some.hash_len, some.salt_len
    )


def _line(error: Exception) -> str:
    line = getattr(error, "lineno", None)  # Python 3.14 has it
    return f", line {line}" if line else ""
