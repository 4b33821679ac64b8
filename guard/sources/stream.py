"""Rejections from the Redis stream `guard:rejections`: our listener's, or anybody's.

A consumer group shares the entries among all daemons, each to one of them. What a crash leaves
uncounted is read again, by whoever asks first. Counters that take marks let go of the entries of a
batch in the step that counts it, and count no batch whose entries are gone: so an entry counts once
in the whole fleet. In a cluster that cannot be one step; there the mark tells this daemon what it
had counted before a crash, and only another that takes over just then counts it again. (Several
daemons that die with more than BATCH entries between them may have one batch go to two others, and
count in part twice, too.) Without marks, entries are let go of when the next batch is asked for. An
entry's bytes are strangers' in part: what is no record is counted and skipped.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any

from guard.events import Event
from guard.lib.redis_url import RedisUrl, connect, parse_redis_url, redis_errors, said
from guard.lib.secrets import BadSecret
from guard.roles import Unavailable
from guard.sources.recordlines import hear
from guard.sources.tally import Tally

KEY = "guard:rejections"
GROUP = "guard"
BATCH = 5000
WAIT_MS = 500
ABANDONED_MS = 60_000

Entries = list[tuple[bytes, dict[bytes, bytes]]]


class RedisStream:
    """The role `Source`. `tally` says what was read and what could not be."""

    key = KEY

    def __init__(
        self,
        url: str | RedisUrl,
        *,
        name: str = "redis",
        consumer: str = "",
        abandoned_ms: int = ABANDONED_MS,
    ) -> None:
        """`consumer` tells this daemon from the others of the fleet, before and after a crash."""
        self.name = name
        self.tally = Tally()
        self._url = parse_redis_url(url)
        self._abandoned = abandoned_ms
        self._consumer = consumer or socket.gethostname()
        self._batch: list[bytes] = []
        # Counted, and perhaps not let go of yet when Redis went away.
        self._done: list[bytes] = []
        # Let go of by the counters, now or when Redis has them.
        self._theirs: set[bytes] = set()

    def resume(self, place: bytes | None) -> None:
        """The role's."""
        counted = place.split() if place else []
        if self._url.way == "cluster":
            self._done += counted
        else:
            self._theirs = set(counted)

    def mark(self) -> bytes:
        """The role's: the entries of the batch."""
        if self._url.way != "cluster":
            self._theirs = set(self._batch)
        return b" ".join(self._batch)

    async def batches(self) -> AsyncIterator[Sequence[Event]]:
        """Events as entries come. Raises Unavailable when Redis does not answer."""
        client: Any = None
        try:
            # A cluster is asked for its nodes at once.
            client = await asyncio.to_thread(connect, self._url)
            await asyncio.to_thread(self._join, client)
            await asyncio.to_thread(self._let_go, client)
            # What Redis handed us before the connection broke never came, or was never counted.
            held = await asyncio.to_thread(self._read, client, "0")
            entries = [pair for pair in held if pair[0] not in self._theirs]
            while True:
                entries = entries or await asyncio.to_thread(self._next, client)
                records = [fields.get(b"record", b"{}") for _, fields in entries]
                # JSON of several lines becomes one: inside its strings there are no line ends.
                run = b"\n".join(record.replace(b"\n", b" ") for record in records)
                events = hear([run], self.tally, self.name) if records else []
                self._batch = [entry for entry, _ in entries]
                if events:
                    yield events
                self._done = [entry for entry in self._batch if entry not in self._theirs]
                await asyncio.to_thread(self._let_go, client)
                entries = []
        except BadSecret as error:
            raise Unavailable(f"Redis at {self._url} cannot be asked: {error}") from None
        except redis_errors() as error:
            text = said(self._url, error)
            raise Unavailable(f"Redis at {self._url} does not answer: {text}") from None
        finally:
            if client is not None:
                client.close()

    def _join(self, client: Any) -> None:
        from redis.exceptions import ResponseError

        try:
            client.xgroup_create(KEY, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def _let_go(self, client: Any) -> None:
        """Removes what has been counted."""
        if self._done:
            pipe = client.pipeline(transaction=False)
            pipe.xack(KEY, GROUP, *self._done)
            pipe.xdel(KEY, *self._done)
            pipe.execute()
            self._done = []

    def _next(self, client: Any) -> Entries:
        """What another daemon left behind, else the entries that come next, perhaps none."""
        left = client.xautoclaim(KEY, GROUP, self._consumer, self._abandoned, count=BATCH)
        return _whole(left[1]) or self._read(client, ">")

    def _read(self, client: Any, after: str) -> Entries:
        """New entries (`>`), or those that are ours already (`0`)."""
        wait = WAIT_MS if after == ">" else None
        streams = client.xreadgroup(GROUP, self._consumer, {KEY: after}, BATCH, wait)
        return _whole(streams[0][1]) if streams else []


def _whole(entries: Entries) -> Entries:
    """Those that still have fields: an entry that was cut from the stream's end has none."""
    return [entry for entry in entries if entry[0] and entry[1]]
