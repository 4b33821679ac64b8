"""Rejections from the Redis stream `guard:rejections`: our listener's, or anybody's.

A consumer group shares the entries among all daemons, each to one of them. An entry is let go when
the next batch is asked for, so that what a crash leaves uncounted is read again, by whoever asks
first. Its bytes are strangers' in part: what is no record is counted and skipped.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any

from guard.events import Event
from guard.lib.logs import printable
from guard.lib.redis_url import connect, parse_redis_url
from guard.roles import Unavailable
from guard.sources.recordlines import hear
from guard.sources.tally import Tally

KEY = "guard:rejections"
GROUP = "guard"
BATCH = 5000
WAIT_MS = 500
ABANDONED_MS = 60_000


class RedisStream:
    """The role `Source`. `tally` says what was read and what could not be."""

    def __init__(self, url: str, *, name: str = "redis", abandoned_ms: int = ABANDONED_MS) -> None:
        self.name = name
        self.tally = Tally()
        self._url = parse_redis_url(url)
        self._abandoned = abandoned_ms
        self._consumer = socket.gethostname()

    async def batches(self) -> AsyncIterator[Sequence[Event]]:
        """Events as entries come. Raises Unavailable when Redis does not answer."""
        from redis.exceptions import RedisError

        client = connect(self._url)
        try:
            await asyncio.to_thread(self._join, client)
            done: list[bytes] = []
            while True:
                entries = await asyncio.to_thread(self._next, client, done)
                done = [entry for entry, _ in entries]
                records = [fields.get(b"record", b"{}") for _, fields in entries]
                # JSON of several lines becomes one: inside its strings there are no line ends.
                run = b"\n".join(record.replace(b"\n", b" ") for record in records)
                events = hear([run], self.tally, self.name) if records else []
                if events:
                    yield events
        except (RedisError, OSError) as error:
            text = printable(str(error))[:200]
            raise Unavailable(f"Redis at {self._url} does not answer: {text}") from None
        finally:
            client.close()

    def _join(self, client: Any) -> None:
        from redis.exceptions import ResponseError

        try:
            client.xgroup_create(KEY, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def _next(self, client: Any, done: Sequence[bytes]) -> list[tuple[bytes, dict[bytes, bytes]]]:
        """Lets go of `done` and returns the entries that come next, perhaps none."""
        if done:
            pipe = client.pipeline(transaction=False)
            pipe.xack(KEY, GROUP, *done)
            pipe.xdel(KEY, *done)
            pipe.execute()
        left = client.xautoclaim(KEY, GROUP, self._consumer, self._abandoned, count=BATCH)
        if left[1]:
            return [entry for entry in left[1] if entry[0] and entry[1]]
        streams = client.xreadgroup(GROUP, self._consumer, {KEY: ">"}, BATCH, WAIT_MS)
        return streams[0][1] if streams else []
