"""Secrets: read from a file or a systemd credential, and shown to nobody.

A Secret can be handed around, logged, compared and put into an exception by mistake without being
told: whoever needs the word asks for it with `reveal()`, at the place where it is sent. What
strangers answer may repeat it; `scrub` takes it out of any text.

Trusts the file system for who may read a file. Never watches it: a secret is read when it is used,
so that a new one counts from the next use.
"""

from __future__ import annotations

import hmac
import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn, final
from urllib.parse import quote, quote_plus, urlsplit

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
LONGEST = 8192
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class BadSecret(ValueError):
    """A secret that cannot be had or used. Its text names the place, never what is in it."""


@final
class Secret:
    """A word that nothing shows. `place` is where it was read, for the operator."""

    __slots__ = ("_word", "place")

    def __init__(self, word: str, place: str = "") -> None:
        self._word, self.place = word, place

    def reveal(self) -> str:
        """The word itself, for the one place that sends it."""
        return self._word

    def scrub(self, text: str) -> str:
        """`text` without the word, in the forms that libraries and servers repeat it in."""
        word = self._word
        for form in (word, repr(word)[1:-1], quote(word, safe=""), quote_plus(word)):
            text = text.replace(form, "...") if form else text
        return text

    def __repr__(self) -> str:
        return "<secret>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._word.encode(), other._word.encode())

    def __hash__(self) -> int:
        return hash(Secret)

    def __bool__(self) -> bool:
        return bool(self._word)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written anywhere")


def scrub(text: str, secrets: Iterable[Secret]) -> str:
    """`text` without any of `secrets`."""
    for secret in secrets:
        text = secret.scrub(text)
    return text


def credential_path(name: str) -> Path:
    """Where systemd puts the credential `name` (LoadCredential=). Raises BadSecret."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise BadSecret(f"the credential {name!r}: systemd passed none (LoadCredential=)")
    return Path(folder) / name


def unseen(credential: str) -> bool:
    """Whether `credential` is named and cannot be looked at here.

    systemd passes it to the service, not to a command such as `guard check`.
    """
    return bool(credential) and "CREDENTIALS_DIRECTORY" not in os.environ


def read_secret(
    path: Path | None, credential: str = "", *, least: int = 1, words: bool = False
) -> Secret:
    """The secret in the file `path`, or else in the systemd credential named `credential`.

    White space around it is no part of it; it needs `least` characters, and is one word of ASCII
    unless `words` allows any line of UTF-8. Raises BadSecret.
    """
    where = path or credential_path(credential)
    try:
        with where.open("rb") as file:
            data = file.read(LONGEST + 1)
    except OSError as error:
        raise BadSecret(f"{where}: {error.strerror}") from None
    if not (word := data.strip()):
        raise BadSecret(f"{where}: is empty")
    if len(data) > LONGEST:
        raise BadSecret(f"{where}: is too long for a secret")
    # What is wrong with it is never shown: what is not a key may hold one.
    text = word.decode("utf-8", "replace")
    if not words and (" " in text or not text.isascii() or not text.isprintable()):
        raise BadSecret(f"{where}: is not one word on one line")
    if not text.isprintable() or "\ufffd" in text:
        raise BadSecret(f"{where}: is not one line of text")
    if len(text) < least:
        raise BadSecret(f"{where}: a secret needs {least} characters at least")
    return Secret(text, str(where))


def place_faults(path: Path | None, credential: str) -> str:
    """What is wrong with where a secret is said to be; empty when nothing is. Opens nothing."""
    if (path is None) == (not credential):
        return "a file or a systemd credential, one of both, has to name the secret"
    if credential and not _NAME.fullmatch(credential):
        return f"{credential!r} cannot be the name of a systemd credential"
    return ""


def api_fault(url: str) -> str:
    """What is wrong with the URL of an API that is sent a key; empty when nothing is.

    A key goes in clear to nobody but a server on this machine.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return "is not an https URL"
    if parts.scheme not in ("http", "https") or not host or parts.query or "@" in parts.netloc:
        return "is not an https URL"
    if parts.scheme == "http" and host not in LOOPBACK:
        return "has to be https: the key is sent there"
    return ""


def exposed(path: Path | None) -> str:
    """Why others on this machine may read the file; empty when they may not, or it is not there."""
    if path is None:
        return ""
    try:
        mode = path.stat().st_mode
    except OSError:
        return ""
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        return f"{path} is open to every user of this machine: chmod o-rwx"
    return ""
