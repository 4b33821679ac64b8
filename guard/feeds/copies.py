"""The last good copy of every list, and what is known of it: on disk, or in Redis for a fleet.

The copy is what is used when a source is down, and after a restart before anybody is asked. Hosts
that share a Redis share copies, times and the turn to fetch, so that ten hosts fetch once.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any, Protocol

import msgspec

from guard.feeds.checks import Odd
from guard.lib.logs import printable
from guard.roles import Forbidden, Unavailable

log = logging.getLogger("guard.feeds")

KEPT = 90 * 86400  # seconds that Redis keeps a feed which nobody follows any more


class PartState(msgspec.Struct):
    """What is known of one part. Times are seconds since the epoch, 0 is never.

    `fetched` is the last good contact, `changed` the last new content, `next` when it is due,
    `earliest` when its owner lets us come again. `waits` is a copy that a dry run fetched: nobody
    applies it before the next sync or the next fetch that is due.
    """

    etag: str = ""
    modified: str = ""
    fetched: float = 0.0
    changed: float = 0.0
    tried: float = 0.0
    next: float = 0.0
    earliest: float = 0.0
    fails: int = 0
    error: str = ""
    count: int | None = None
    bad: int = 0
    odd: Odd | None = None
    notice: str = ""
    terms: str = ""
    stamp: float | None = None
    waits: bool = False


class FeedState(msgspec.Struct):
    """A feed: its parts by URL, and what came of it when it was last applied.

    The two are kept apart: whoever fetches writes the one, whoever owns the ledger the other.
    """

    parts: dict[str, PartState] = {}
    applied: float = 0.0
    entries: int = 0
    networks: int = 0
    duplicates: int = 0
    came: int = 0
    went: int = 0
    removed: dict[str, int] = {}
    shown: list[tuple[str, str]] = []


class Copies(Protocol):
    """Where states and copies are kept. Raises Unavailable or Forbidden."""

    def load(self, name: str) -> FeedState:
        """What is known of a feed; an empty state when it is new."""
        ...

    def save(self, name: str, parts: dict[str, PartState]) -> None:
        """Remembers what is known of the parts."""
        ...

    def applied(self, name: str, state: FeedState) -> None:
        """Remembers what came of it; the parts in `state` are left out."""
        ...

    def body(self, name: str, url: str) -> bytes | None:
        """The last good copy of a part."""
        ...

    def put(self, name: str, url: str, data: bytes) -> None:
        """Replaces it."""
        ...

    def lease(self, name: str, seconds: float) -> bool:
        """Whether it is our turn to fetch; nobody else has it for so long, or until `release`."""
        ...

    def release(self, name: str) -> None:
        """Gives the turn back, once what was fetched is saved."""
        ...


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(FeedState).decode


def _state(parts: bytes | None, applied: bytes | None, where: str) -> FeedState:
    """Both halves together."""
    state = _half(applied, where)
    state.parts = _half(parts, where).parts
    return state


def _half(data: bytes | None, where: str) -> FeedState:
    try:
        return _decode(data) if data else FeedState()
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        log.warning("%s is passed over: %s", where, printable(str(error)))
        return FeedState()


def _summary(state: FeedState) -> bytes:
    return _encode(msgspec.structs.replace(state, parts={}))


def _id(url: str) -> str:
    return hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class FolderCopies:
    """In `folder`, for one process on one host: NAME.json, NAME/applied.json, NAME/ID.list."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, name: str) -> FeedState:
        """The protocol's."""
        path = self._folder / f"{name}.json"
        return _state(self._read(path), self._read(self._applied(name)), str(path))

    def save(self, name: str, parts: dict[str, PartState]) -> None:
        """The protocol's."""
        data = _encode(FeedState(parts=parts))
        self._write(self._folder / f"{name}.json", msgspec.json.format(data))

    def applied(self, name: str, state: FeedState) -> None:
        """The protocol's."""
        self._write(self._applied(name), msgspec.json.format(_summary(state)))

    def _applied(self, name: str) -> Path:
        return self._folder / name / "applied.json"

    def body(self, name: str, url: str) -> bytes | None:
        """The protocol's."""
        return self._read(self._folder / name / f"{_id(url)}.list")

    def put(self, name: str, url: str, data: bytes) -> None:
        """The protocol's."""
        self._write(self._folder / name / f"{_id(url)}.list", data)

    def lease(self, name: str, seconds: float) -> bool:
        """The protocol's: nobody else is there."""
        return True

    def release(self, name: str) -> None:
        """The protocol's."""

    def _read(self, path: Path) -> bytes | None:
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Forbidden(f"cannot read {path}: {error.strerror}") from None

    def _write(self, path: Path, data: bytes) -> None:
        new = path.with_name(f"{path.name}.{os.getpid()}.new")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            new.write_bytes(data)
            new.replace(path)
        except OSError as error:
            raise Forbidden(f"cannot write {path}: {error.strerror}") from None


class RedisCopies:
    """In Redis, for every host that shares it: a hash `guard:feed:{NAME}`, bodies in zstd."""

    def __init__(self, client: Any, where: str) -> None:
        self._client, self._where, self._token = client, where, token_hex(8)

    def load(self, name: str) -> FeedState:
        """The protocol's."""
        with self._errors():
            parts, applied = self._client.hmget(_key(name), "state", "applied")
        return _state(parts, applied, f"{_key(name)} in Redis")

    def save(self, name: str, parts: dict[str, PartState]) -> None:
        """The protocol's."""
        self._set(name, "state", _encode(FeedState(parts=parts)))

    def applied(self, name: str, state: FeedState) -> None:
        """The protocol's."""
        self._set(name, "applied", _summary(state))

    def _set(self, name: str, field: str, data: bytes) -> None:
        with self._errors():
            self._client.hset(_key(name), field, data)
            self._client.expire(_key(name), KEPT)

    def body(self, name: str, url: str) -> bytes | None:
        """The protocol's."""
        import zstandard

        with self._errors():
            packed = self._client.hget(_key(name), f"body:{_id(url)}")
        try:
            return None if packed is None else zstandard.decompress(packed)
        except zstandard.ZstdError as error:
            log.warning("%s in Redis is passed over: %s", _key(name), error)
            return None

    def put(self, name: str, url: str, data: bytes) -> None:
        """The protocol's."""
        import zstandard

        with self._errors():
            self._client.hset(_key(name), f"body:{_id(url)}", zstandard.compress(data))

    def lease(self, name: str, seconds: float) -> bool:
        """The protocol's."""
        with self._errors():
            return bool(
                self._client.set(
                    _key(name) + ":turn", self._token, nx=True, px=max(1, int(seconds * 1000))
                )
            )

    def release(self, name: str) -> None:
        """The protocol's; a turn that ran out and is another's by now stays with the other."""
        with self._errors():
            held = self._client.get(_key(name) + ":turn")
            if held in (self._token, self._token.encode()):
                self._client.delete(_key(name) + ":turn")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        from redis.exceptions import RedisError

        try:
            yield
        except (RedisError, OSError) as error:
            raise Unavailable(
                f"Redis at {self._where} does not answer: {printable(str(error))[:200]}"
            ) from None


def _key(name: str) -> str:
    return f"guard:feed:{{{name}}}"
