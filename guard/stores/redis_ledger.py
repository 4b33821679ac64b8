"""The ledger in Redis, shared by a fleet. docs/redis.md is the contract of its keys.

A change and the word of it are one script, so that nobody hears of what is not there. Who follows
reads the stream of changes from its cursor; where the stream no longer holds the cursor's entry
(trimmed, flushed, lost in a fail-over) it reads everything. Text of others is read strictly.
"""

from __future__ import annotations

import logging
import math
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

import msgspec

from guard.events import Claim, Ended, Past, Remembered
from guard.lib.networks import Network, parse_network
from guard.roles import Refused
from guard.stores.redis_batch import text_of
from guard.stores.redis_claims import (
    CHANGES,
    CLAIMS,
    ENDS,
    KEYS,
    PREFIX,
    SCHEMA,
    SCHEMA_VERSION,
    SOURCES,
    STRIKES,
    STRUCK,
    claim_of,
    claims_of,
    differ,
    stored,
)
from guard.stores.redis_link import RedisLink
from guard.stores.redis_sweep import sweep

log = logging.getLogger("guard.stores")

CHUNK = 1000
MANY = 1000  # of fewer each is named to those who follow
_READ_AT_ONCE = 5000
_CURSOR = re.compile(r"\d{1,20}-\d{1,20}", re.ASCII)
_pack = msgspec.msgpack.Encoder().encode
_json = msgspec.json.Encoder().encode
Item = TypeVar("Item")


_read_strikes = msgspec.json.Decoder(dict[str, int]).decode


class RedisLedger:
    """The role `Ledger`. `memory` is how long strikes are kept after the last ban's end."""

    def __init__(self, link: RedisLink, memory: float) -> None:
        self._link, self._memory = link, memory
        self._open()

    def _open(self) -> None:
        """Marks an empty Redis as ours. Raises Refused where another release's ledger lies."""
        client = self._link.client
        with self._link.errors():
            client.set(SCHEMA, SCHEMA_VERSION, nx=True)
            found = client.get(SCHEMA)
            if not client.exists(CHANGES):
                # The stream is never empty, so that a cursor is always an entry in it.
                client.xadd(CHANGES, {"networks": "*"})
        if found != SCHEMA_VERSION:
            raise Refused(
                f"the ledger in Redis at {self._link.url} has format {found!r} and this Guard "
                f"knows {SCHEMA_VERSION!r}: it was written by another release"
            )

    def claim(self, claims: Sequence[Claim], now: float) -> list[Claim]:
        """The role's."""
        made: list[Claim] = []
        for chunk in _chunks(claims, CHUNK):
            answer = self._claim([_row(claim) for claim in chunk], now)
            for claim, since, strikes in zip(chunk, answer[::2], answer[1::2], strict=True):
                made.append(
                    Claim(
                        claim.network,
                        claim.source,
                        claim.reason,
                        float(since),
                        claim.until,
                        strikes,
                    )
                )
        return made

    def _claim(self, rows: Sequence[tuple[str | int, ...]], now: float) -> Any:
        arguments = [CLAIMS, repr(float(now)), repr(self._memory), _pack(rows)]
        return self._link.run("claim", KEYS, arguments)

    def restore(self, claims: Sequence[Claim], now: float) -> None:
        """The role's."""
        for chunk in _chunks(claims, CHUNK):
            self._claim([(*_row(claim), claim.strikes) for claim in chunk], now)

    def withdraw(self, network: Network | None, source: str | None, now: float) -> list[Claim]:
        """The role's."""
        if network is None and source is None and self._held() > MANY:
            found = [claim for piece in self.empty(now) for claim in piece.claims]
            return sorted(found, key=lambda claim: claim.since)
        asked: list[tuple[str, str | bytes]] = []
        for name in [source] if source is not None else self._sources():
            if network is not None:
                asked.append((name, str(network)))
            else:
                asked += [(name, text) for text in self._texts(name)]
        ended: list[Claim] = []
        for chunk in _chunks(asked, CHUNK):
            flat = [word for pair in chunk for word in pair]
            answer = self._link.run("withdraw", KEYS, [CLAIMS, repr(float(now)), *flat])
            for name, text, held in zip(answer[::3], answer[1::3], answer[2::3], strict=True):
                ended += claims_of(name.decode(), {text: held}, now)
        return sorted(ended, key=lambda claim: claim.since)

    def empty(self, now: float) -> Iterator[Ended]:
        """The role's."""
        return sweep(self._link, now)

    def replace(self, source: str, claims: Sequence[Claim], now: float) -> tuple[int, int]:
        """The role's. Many differences go into a new hash, which then takes the old one's place."""
        with self._link.errors():
            held = self._link.client.hgetall(CLAIMS + source)
        wanted = {str(claim.network).encode(): stored(claim) for claim in claims}
        gone = [text for text in held if text not in wanted]
        came = sum(1 for text in wanted if text not in held)
        new = {t: value for t, value in wanted.items() if t not in held or differ(held[t], value)}
        if new or gone:
            self._replace(source, {**held, **new}, new, gone)
        return came, len(gone)

    def _replace(
        self,
        source: str,
        everything: Mapping[bytes, bytes],
        new: Mapping[bytes, bytes],
        gone: Sequence[bytes],
    ) -> None:
        fresh = f"{PREFIX}new:{secrets.token_hex(8)}"
        few = len(new) + len(gone) <= CHUNK
        named = b" ".join([*new, *gone]) if few else b"*"
        if not few:
            left = set(gone)
            whole = [pair for pair in everything.items() if pair[0] not in left]
            with self._link.errors():
                for chunk in _chunks(whole, _READ_AT_ONCE):
                    self._link.client.hset(fresh, mapping=dict(chunk))
                    self._link.client.expire(fresh, 600)
            new, gone = {}, []
        changed = [word for pair in new.items() for word in pair]
        keys = [CLAIMS + source, SOURCES, CHANGES, fresh, SCHEMA]
        self._link.run("replace", keys, [source, named, len(new), *changed, *gone])

    def claims(self, now: float) -> list[Claim]:
        """The role's."""
        found: list[Claim] = []
        for source in self._sources():
            with self._link.errors():
                held = self._link.client.hgetall(CLAIMS + source)
            found += claims_of(source, held, now)
        return sorted(found, key=lambda claim: claim.since)

    def _held(self) -> int:
        """How many claims lie there, live or not."""
        sources = self._sources()
        with self._link.errors(), self._link.client.pipeline(transaction=False) as pipe:
            for source in sources:
                pipe.hlen(CLAIMS + source)
            return sum(pipe.execute())

    def size(self, now: float) -> int:
        """The role's. A claim of a feed counts until the feed takes it back."""
        sources = self._sources()
        with self._link.errors(), self._link.client.pipeline(transaction=False) as pipe:
            for source in sources:
                pipe.hlen(CLAIMS + source)
            pipe.zcount(ENDS, "-inf", now)
            *held, ended = pipe.execute()
        live: int = sum(held) - ended
        return max(0, live)

    def past(self, networks: Sequence[Network], now: float) -> list[Past]:
        """The role's."""
        found = []
        for chunk in _chunks(networks, CHUNK):
            texts = [text_of(network) for network in chunk]
            struck, ended, *held = self._link.run("past", KEYS, [CLAIMS, _pack(texts)])
            live: list[list[Claim]] = [[] for _ in chunk]
            for source, values in zip(held[::2], held[1::2], strict=True):
                name = source.decode()
                for claims, network, value in zip(live, chunk, values, strict=True):
                    if value is not None and (claim := claim_of(name, network, value, now)):
                        claims.append(claim)
            for claims, strikes, end in zip(live, struck, ended, strict=True):
                known = strikes and end and float(end) + self._memory > now
                found.append(Past(tuple(claims), _strikes(strikes) if known else {}))
        return found

    def remembered(self) -> list[Remembered]:
        """The role's."""
        with self._link.errors(), self._link.client.pipeline(transaction=False) as pipe:
            pipe.hgetall(STRIKES)
            pipe.zrange(STRUCK, 0, -1, withscores=True)
            strikes, struck = pipe.execute()
        ends = {bytes(text): float(ended) for text, ended in struck}
        return [
            Remembered(
                parse_network(text.decode()),
                _strikes(held),
                None if math.isinf(ends.get(text, math.inf)) else ends[text],
            )
            for text, held in strikes.items()
        ]

    def remember(self, rows: Sequence[Remembered]) -> None:
        """The role's."""
        for chunk in _chunks(rows, CHUNK):
            packed = [
                (str(row.network), dict(row.strikes), "+inf" if row.ended is None else row.ended)
                for row in chunk
            ]
            self._link.run("remember", [STRIKES, STRUCK, SCHEMA], [_pack(packed)])

    def changes(self, cursor: str) -> tuple[str, set[Network] | None]:
        """The role's."""
        entries: list[Any] = []
        if _CURSOR.fullmatch(cursor):
            with self._link.errors():
                entries = self._link.client.xrange(CHANGES, min=cursor, count=_READ_AT_ONCE)
        if not entries or entries[0][0].decode() != cursor or len(entries) == _READ_AT_ONCE:
            return self._newest(), None
        words = [w for _, fields in entries[1:] for w in fields.get(b"networks", b"*").split()]
        touched = None if b"*" in words else _networks(set(words))
        return entries[-1][0].decode(), touched

    def _newest(self) -> str:
        with self._link.errors():
            last = self._link.client.xrevrange(CHANGES, count=1)
        if not last:
            self._open()
            return self._newest()
        entry: bytes = last[0][0]
        return entry.decode()

    def close(self) -> None:
        """Nothing: everything is in Redis, and the store closes the connection."""

    def _sources(self) -> list[str]:
        with self._link.errors():
            return sorted(name.decode() for name in self._link.client.smembers(SOURCES))

    def _texts(self, source: str) -> list[bytes]:
        with self._link.errors():
            return list(self._link.client.hkeys(CLAIMS + source))


def _strikes(value: bytes) -> dict[str, int]:
    try:
        return _read_strikes(value)
    except msgspec.MsgspecError:
        return {}


def _networks(words: Iterable[bytes]) -> set[Network] | None:
    """The networks that changes name; None when they name what is none."""
    try:
        return {parse_network(word.decode()) for word in words}
    except ValueError:
        return None


def _row(claim: Claim) -> tuple[str | int, ...]:
    """A claim as the script takes it."""
    reason = _json(claim.reason).decode()
    return claim.source, str(claim.network), _time(claim.since), _time(claim.until), reason


def _time(time: float | None) -> str:
    return "null" if time is None or math.isinf(time) else repr(float(time))


def _chunks(items: Sequence[Item] | Iterable[Item], size: int) -> Iterator[list[Item]]:
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk
