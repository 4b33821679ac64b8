"""Whom an operator lets in by hand: in a file of one host, or in Redis for a fleet.

Few, and asked for every second or so. With Redis each host keeps a copy in its state directory, so
that a restart while Redis is gone blocks nobody who was let in before.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from guard.events import Permit
from guard.lib.logs import printable
from guard.lib.networks import Network, parse_network
from guard.roles import Forbidden, Unavailable

log = logging.getLogger("guard.stores")
NAME, KEY = "allowed.json", "guard:allowed"


class _Row(msgspec.Struct):
    since: float
    until: float | None
    reason: str


_encode = msgspec.json.Encoder().encode
_row = msgspec.json.Decoder(_Row).decode


def _permits(rows: Mapping[str, _Row], now: float) -> list[Permit]:
    """Those that still hold."""
    return [
        Permit(parse_network(text), row.since, row.until, row.reason)
        for text, row in rows.items()
        if row.until is None or row.until > now
    ]


class FilePermits:
    """The role Permits, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME

    def permits(self, now: float) -> list[Permit]:
        """The role's."""
        try:
            rows = msgspec.json.decode(self._path.read_bytes(), type=dict[str, _Row])
            return _permits(rows, now)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise Forbidden(f"cannot read {self._path}: {error.strerror}") from None
        except (ValueError, msgspec.MsgspecError) as error:
            log.warning("%s is passed over: %s", self._path, printable(str(error)))
            return []

    def permit(self, permit: Permit) -> None:
        """The role's."""
        held = {p.network: p for p in self.permits(permit.since)}
        self.replace([*({**held, permit.network: permit}).values()])

    def withdraw(self, network: Network, now: float) -> bool:
        """The role's."""
        held = self.permits(now)
        kept = [permit for permit in held if permit.network != network]
        if len(kept) == len(held):
            return False
        self.replace(kept)
        return True

    def replace(self, permits: list[Permit]) -> None:
        """Makes `permits` all that there is. Raises Forbidden."""
        rows = {str(p.network): _Row(p.since, p.until, p.reason) for p in permits}
        new = self._path.with_name(f"{NAME}.{os.getpid()}.new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            new.write_bytes(msgspec.json.format(_encode(rows)))
            new.replace(self._path)
        except OSError as error:
            raise Forbidden(f"cannot write {self._path}: {error.strerror}") from None


class RedisPermits:
    """The role Permits, in a hash of Redis, with a copy in `copy` for when Redis is gone."""

    def __init__(self, client: Any, where: str, copy: FilePermits) -> None:
        self._client, self._where, self._copy = client, where, copy
        self._copied: list[Permit] | None = None

    def permits(self, now: float) -> list[Permit]:
        """The role's; the last that was read while Redis does not answer."""
        try:
            with self._errors():
                held = self._client.hgetall(KEY)
        except Unavailable:
            return self._copy.permits(now)
        found = self._read(held, now)
        if found != self._copied:
            self._copied = found
            try:
                self._copy.replace(found)
            except Forbidden as error:  # a command of somebody who may only ask
                log.debug("%s", error)
        return found

    def permit(self, permit: Permit) -> None:
        """The role's."""
        row = _Row(permit.since, permit.until, permit.reason)
        with self._errors():
            self._client.hset(KEY, str(permit.network), _encode(row))

    def withdraw(self, network: Network, now: float) -> bool:
        """The role's."""
        with self._errors():
            return bool(self._client.hdel(KEY, str(network)))

    def _read(self, held: Mapping[bytes, bytes], now: float) -> list[Permit]:
        """What the hash says; what another program wrote there is nothing. Old ones are removed."""
        found: list[Permit] = []
        over: list[bytes] = []
        for text, value in held.items():
            try:
                row = _row(value)
                some = _permits({text.decode("ascii"): row}, now)
            except (ValueError, msgspec.MsgspecError):
                continue
            found += some
            over += [] if some else [text]
        if over:
            with self._errors():
                self._client.hdel(KEY, *over)
        return sorted(found)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        from redis.exceptions import RedisError

        try:
            yield
        except (RedisError, OSError) as error:
            text = printable(str(error))[:200]
            raise Unavailable(f"Redis at {self._where} does not answer: {text}") from None
