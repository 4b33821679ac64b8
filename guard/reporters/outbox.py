"""What has yet to be told to somebody, kept until it was: reports, webhooks, digests.

Rows of queues in one SQLite file. What was put survives the end of the process by any signal, at
once, without waiting for the disk; a power cut may take the last seconds. The worst goes first. A
queue is bounded and its rows expire: what is dropped so is counted, by reason, and never in silence
(the caller logs what `put` and `expire` return). Knows nothing of what the payloads mean.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

VERSION = 1
MOST = 100_000
SCHEMA = """
    CREATE TABLE items (id INTEGER PRIMARY KEY, queue TEXT NOT NULL, key TEXT, priority REAL,
        born REAL, due REAL, expires REAL, attempts INTEGER NOT NULL DEFAULT 0,
        error TEXT NOT NULL DEFAULT '', payload BLOB NOT NULL);
    CREATE UNIQUE INDEX items_key ON items (queue, key);
    CREATE INDEX items_order ON items (queue, priority DESC, born, id);
    CREATE INDEX items_expires ON items (queue, expires);
    CREATE TABLE counts (queue TEXT, name TEXT, value INTEGER NOT NULL, PRIMARY KEY (queue, name))
        WITHOUT ROWID
"""
_COLUMNS = "id, key, payload, priority, born, due, expires, attempts, error"
_COUNT = """
    INSERT INTO counts VALUES (?, ?, ?)
        ON CONFLICT (queue, name) DO UPDATE SET value = value + excluded.value
"""
_PUT = """
    INSERT INTO items (queue, key, priority, born, due, expires, payload)
        VALUES (?, ?, ?, ?, ?, ?, ?)
"""


class File(Protocol):
    """A SQLite file: stores/database.py."""

    def transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        """All or nothing."""
        ...

    def query(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows."""
        ...

    def close(self) -> None:
        """Closes it."""
        ...


class Item(NamedTuple):
    """What is put in. One with the `key` of one that waits takes its place; None has no key.

    `priority`: higher goes first. `expires` is when nobody wants it any more.
    """

    payload: bytes
    expires: float
    key: str | None = None
    priority: float = 0.0
    due: float = 0.0


class Waiting(NamedTuple):
    """What waits. `attempts` are those that failed, `error` is what the last one met."""

    id: int
    key: str | None
    payload: bytes
    priority: float
    born: float
    due: float
    expires: float
    attempts: int
    error: str


Merge = Callable[[bytes, bytes], bytes]


class Outbox:
    """Queues over `file`. May be used by several threads; a queue is emptied by one of them.

    `most` bounds each queue. Raises what `file` raises: Unavailable, Refused.
    """

    def __init__(self, file: File, *, most: int = MOST) -> None:
        self._file, self._most, self._lock = file, most, threading.Lock()

    def put(
        self, queue: str, items: Iterable[Item], now: float, *, merge: Merge | None = None
    ) -> int:
        """Adds `items`; returns how many had to be dropped for want of room, the least first.

        An item with the key of one that waits replaces its payload, or what `merge(old, new)`
        makes of both; it keeps its place in time and its failures, and gets the higher priority.
        """
        with self._lock, self._file.transaction() as run:
            for item in items:
                if not self._replace(run, queue, item, merge):
                    values = (item.key, item.priority, now, item.due, item.expires, item.payload)
                    run.execute(_PUT, (queue, *values))
            return self._trim(run, queue)

    def _replace(
        self, run: sqlite3.Connection, queue: str, item: Item, merge: Merge | None
    ) -> bool:
        if item.key is None:
            return False
        sql = "SELECT id, payload, priority FROM items WHERE queue = ? AND key = ?"
        held = run.execute(sql, (queue, item.key)).fetchone()
        if held is None:
            return False
        payload = merge(held[1], item.payload) if merge else item.payload
        run.execute(
            "UPDATE items SET payload = ?, priority = ?, expires = ? WHERE id = ?",
            (payload, max(held[2], item.priority), item.expires, held[0]),
        )
        return True

    def _trim(self, run: sqlite3.Connection, queue: str) -> int:
        sql = "SELECT count(*) FROM items WHERE queue = ?"
        over: int = run.execute(sql, (queue,)).fetchone()[0] - self._most
        if over <= 0:
            return 0
        run.execute(
            "DELETE FROM items WHERE id IN (SELECT id FROM items WHERE queue = ?"
            " ORDER BY priority, born DESC, id DESC LIMIT ?)",
            (queue, over),
        )
        run.execute(_COUNT, (queue, "dropped as too many", over))
        return over

    def take(self, queue: str, now: float, most: int) -> list[Waiting]:
        """What is due, the worst first. It stays until `done` or `later` is called for it."""
        sql = (
            f"SELECT {_COLUMNS} FROM items WHERE queue = ? AND due <= ? AND expires > ?"  # noqa: S608
            " ORDER BY priority DESC, born, id LIMIT ?"
        )
        with self._lock:
            return [Waiting(*row) for row in self._file.query(sql, (queue, now, now, most))]

    def waiting(self, queue: str, most: int = -1) -> list[Waiting]:
        """All that waits, due or not, the worst first."""
        sql = (
            f"SELECT {_COLUMNS} FROM items WHERE queue = ?"  # noqa: S608
            " ORDER BY priority DESC, born, id LIMIT ?"
        )
        with self._lock:
            return [Waiting(*row) for row in self._file.query(sql, (queue, most))]

    def find(self, queue: str, key: str) -> Waiting | None:
        """The one with `key`."""
        sql = f"SELECT {_COLUMNS} FROM items WHERE queue = ? AND key = ?"  # noqa: S608
        with self._lock:
            rows = self._file.query(sql, (queue, key))
        return Waiting(*rows[0]) if rows else None

    def next_due(self, queue: str) -> float | None:
        """When the next one is due; None when nothing waits."""
        with self._lock:
            rows = self._file.query("SELECT min(due) FROM items WHERE queue = ?", (queue,))
        first: float | None = rows[0][0]
        return first

    def done(self, queue: str, ids: Iterable[int], *, as_what: str = "sent") -> None:
        """Forgets them, and counts them as `as_what`."""
        gone = [(one,) for one in ids]
        with self._lock, self._file.transaction() as run:
            run.executemany("DELETE FROM items WHERE id = ?", gone)
            run.execute(_COUNT, (queue, as_what, len(gone)))

    def later(
        self, ids: Iterable[int], due: float, error: str = "", *, failed: bool = True
    ) -> None:
        """Has them wait until `due`; `failed` counts as an attempt."""
        sql = "UPDATE items SET due = ?, error = ?, attempts = attempts + ? WHERE id = ?"
        with self._lock, self._file.transaction() as run:
            run.executemany(sql, [(due, error, int(failed), one) for one in ids])

    def hurry(self, queue: str, now: float) -> None:
        """Has those that failed be due now, however long they would wait by themselves."""
        sql = "UPDATE items SET due = ? WHERE queue = ? AND attempts > 0 AND due > ?"
        with self._lock, self._file.transaction() as run:
            run.execute(sql, (now, queue, now))

    def expire(self, queue: str, now: float) -> int:
        """Drops what nobody wants any more; returns how many."""
        with self._lock, self._file.transaction() as run:
            sql = "DELETE FROM items WHERE queue = ? AND expires <= ?"
            gone = run.execute(sql, (queue, now)).rowcount
            if gone:
                run.execute(_COUNT, (queue, "dropped as too old", gone))
        return gone

    def remove(self, queue: str, key: str) -> bool:
        """Forgets the one with `key`; whether there was one."""
        with self._lock, self._file.transaction() as run:
            sql = "DELETE FROM items WHERE queue = ? AND key = ?"
            return run.execute(sql, (queue, key)).rowcount > 0

    def count(self, queue: str, name: str, number: int = 1) -> None:
        """Adds to a number that `counts` tells, which survives restarts."""
        with self._lock, self._file.transaction() as run:
            run.execute(_COUNT, (queue, name, number))

    def counts(self, queue: str) -> dict[str, int]:
        """How many wait, and how many ever were sent, dropped and so on, by what became of them."""
        with self._lock:
            waits = self._file.query("SELECT count(*) FROM items WHERE queue = ?", (queue,))
            sql = "SELECT name, value FROM counts WHERE queue = ? ORDER BY name"
            return {"waiting": waits[0][0], **dict(self._file.query(sql, (queue,)))}

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._file.close()
