"""The listener's way to a daemon in another process: the Redis stream `guard:rejections`.

`put` only remembers; a thread of its own sends, so that a Redis that is slow or gone never holds
up a session. It lets records gather for a moment, because each time it wakes a session waits for
the interpreter. What waits is bounded, what finds no room is dropped and counted. Entries carry one
field, `record`: of the record, the members that count (docs/redis.md). They are numbered, so that a
batch whose answer was lost is sent again, the same as before, and yet is there once. Raises nothing
after it is made: it goes on trying.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections import deque

from guard.filters.gathered import gathered
from guard.lib.redis_url import RedisUrl, parse_redis_url
from guard.records import Record, encode_heard
from guard.roles import GuardError
from guard.stores.redis_link import RedisLink

log = logging.getLogger("guard.stores.stream")

KEY = "guard:rejections"
LONGEST = 100_000
BATCH = 1000
GATHER = 0.05  # seconds that the first record waits for others
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0


class StreamSink:
    """The role `Sink`. `sent` and `dropped` count records; `error` says why none go out now."""

    def __init__(self, url: str | RedisUrl, *, bound: int = 100_000, patience: float = 3.0) -> None:
        self.sent = self.dropped = 0
        self.error = ""
        self._patience = patience
        self._waiting: deque[Record] = deque()
        self._bound = bound
        self._lines: list[bytes] = []
        self._of = 0  # records that `_lines` are made of
        # In the hash slot of the stream.
        self._numbers = f"{{{KEY}}}:sent:{secrets.token_hex(8)}"
        self._news = threading.Event()
        self._closing = threading.Event()
        self._link = RedisLink(parse_redis_url(url))
        self._thread = threading.Thread(target=self._run, name="stream", daemon=True)
        self._thread.start()

    def reach(self) -> None:
        """Raises Unavailable or Forbidden when Redis does not answer now: for the start."""
        with self._link.errors():
            self._link.client.ping()

    def put(self, record: Record) -> None:
        """Takes `record`, or counts it as dropped."""
        if len(self._waiting) >= self._bound:
            self.dropped += 1
            return
        self._waiting.append(record)
        if not self._news.is_set():
            self._news.set()

    @property
    def waiting(self) -> int:
        """How many records are not sent yet."""
        return len(self._waiting)

    def close(self) -> None:
        """Sends what waits, for some seconds at most; the rest is counted as dropped."""
        self._closing.set()
        self._news.set()
        self._thread.join(self._patience)
        self._link.close()
        self.dropped += len(self._waiting)
        self._waiting.clear()
        if self.dropped:
            log.warning("%d records never reached Redis", self.dropped)

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while self._waiting or not self._closing.is_set():
            self._news.wait()
            self._closing.wait(GATHER)
            self._news.clear()
            try:
                self._send()
                while len(self._waiting) >= BATCH:
                    self._send()
                if self._waiting:
                    self._news.set()
                pause = FIRST_PAUSE
            except GuardError as error:
                self._failed(str(error))
                if self._closing.is_set():
                    return
                self._closing.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                self._news.set()

    def _send(self) -> None:
        """Sends one batch. What fails stays, to be sent again."""
        if not self._of:
            batch = [self._waiting[i] for i in range(min(BATCH, len(self._waiting)))]
            self._lines, self._of = [_line(record) for record in gathered(batch)], len(batch)
        lines = [line for line in self._lines if line]
        if lines:
            self._link.run("add", [KEY, self._numbers], [self.sent + 1, LONGEST, *lines])
        for _ in range(self._of):
            self._waiting.popleft()
        self.sent += len(lines)
        self.dropped += len(self._lines) - len(lines)
        self._of = 0
        if self.error:
            log.warning("Redis takes records again; %d were dropped so far", self.dropped)
            self.error = ""

    def _failed(self, error: str) -> None:
        if not self.error:
            log.error("%s; records wait, %d at most", error, self._bound)
        self.error = error


def _line(record: Record) -> bytes:
    """The record as it is sent; nothing for one that has no JSON form."""
    try:
        return encode_heard(record)
    except ValueError:
        return b""
