"""SASL exchanges, PLAIN (RFC 4616) and LOGIN, as generators: challenges out, answers in.

They take apart what the client sends and decide nothing. Passwords live in the generator and in
`Credentials`, whose text shows neither user nor password.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Protocol

from guard.relay.login import Login
from guard.smtp import replies
from guard.smtp.replies import Reply


class Authenticator(Protocol):
    """Who knows the passwords: guard/relay/credentials.py, or an operator's hook."""

    async def check(self, login: Login) -> bool:
        """Whether the password is the user's. Leaves what is slow to threads of its own.

        Takes the same time whether there is such a user or not. Raises Unavailable.
        """
        ...


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """What a client says it is. `authz` is who it wants to act as."""

    authz: str
    user: str
    password: str = field(repr=False)


Exchange = Generator[bytes, str, Credentials | Reply]
"""Yields challenges ready for the wire, is sent the client's lines, returns how it ended."""


def plain(initial: str | None) -> Exchange:
    """AUTH PLAIN; `initial` is the initial response, if the command had one."""
    response = initial if initial is not None else (yield replies.CONTINUE)
    decoded = _decode(response)
    if isinstance(decoded, Reply):
        return decoded
    fields = decoded.split(b"\0")
    if len(fields) != 3:
        return replies.AUTH_NOT_PLAIN
    try:
        authz, user, password = (part.decode() for part in fields)
    except UnicodeDecodeError:
        return replies.AUTH_NOT_UTF8
    return Credentials(authz or user, user, password)


def login(initial: str | None) -> Exchange:
    """AUTH LOGIN (draft-murchison-sasl-login), which never became a standard."""
    user = _decode(initial if initial is not None else (yield _challenge(b"Username:")))
    if isinstance(user, Reply):
        return user
    password = _decode((yield _challenge(b"Password:")))
    if isinstance(password, Reply):
        return password
    try:
        name = user.decode()
        return Credentials(name, name, password.decode())
    except UnicodeDecodeError:
        return replies.AUTH_NOT_UTF8


def _challenge(text: bytes) -> bytes:
    return b"334 " + b64encode(text) + b"\r\n"


def _decode(response: str) -> bytes | Reply:
    if response == "*":  # RFC 4954, section 4
        return replies.AUTH_CANCELLED
    try:
        # `=` is how an empty initial response is written.
        return b"" if response == "=" else b64decode(response.encode(), validate=True)
    except (binascii.Error, ValueError):
        return replies.AUTH_NOT_BASE64


MECHANISMS: dict[str, Callable[[str | None], Exchange]] = {"PLAIN": plain, "LOGIN": login}
