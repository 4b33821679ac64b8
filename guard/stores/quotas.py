"""What was asked of other people's services today, in a file of one host or in Redis for a fleet.

The role Quotas, apart from the store: reporters and look-ups run in threads of their own and wait
for nobody who bans.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

from guard.stores.database import Database, open_file
from guard.stores.redis_link import RedisLink
from guard.stores.settings import StoreSettings

KEPT = 3 * 86400  # seconds that a day's counter outlives its last use
PREFIX = "guard:quota:"
VERSION = 1
SCHEMA = """
    CREATE TABLE spent (name TEXT, day TEXT, used INTEGER NOT NULL, PRIMARY KEY (name, day))
        WITHOUT ROWID;
    CREATE TABLE done (name TEXT, key TEXT, time REAL NOT NULL, ends REAL NOT NULL,
        PRIMARY KEY (name, key)) WITHOUT ROWID;
    CREATE INDEX done_ends ON done (ends)
"""
_SPEND = """
    INSERT INTO spent VALUES (?, ?, ?) ON CONFLICT (name, day) DO UPDATE SET used = excluded.used
"""
_DONE = """
    INSERT INTO done VALUES (?, ?, ?, ?) ON CONFLICT (name, key)
        DO UPDATE SET time = excluded.time, ends = excluded.ends
"""


def day(now: float) -> str:
    """The day of UTC at `now`, as 2026-11-21."""
    return f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d}"


class FileQuotas:
    """The role Quotas over `file`, which several processes of one host may share."""

    def __init__(self, file: Database) -> None:
        self._file, self._lock = file, threading.Lock()

    def take(self, name: str, limit: int, wanted: int, now: float) -> int:
        """The role's."""
        with self._lock, self._file.transaction() as run:
            used = self._used(name, now)
            granted = max(0, min(wanted, limit - used))
            if granted:
                run.execute(_SPEND, (name, day(now), used + granted))
                run.execute("DELETE FROM spent WHERE day < ?", (day(now - KEPT),))
        return granted

    def left(self, name: str, limit: int, now: float) -> int:
        """The role's."""
        with self._lock:
            return max(0, limit - self._used(name, now))

    def told(self, name: str, limit: int, left: int, now: float) -> None:
        """The role's."""
        with self._lock, self._file.transaction() as run:
            if limit - left > self._used(name, now):
                run.execute(_SPEND, (name, day(now), limit - left))

    def once(self, name: str, key: str, within: float, now: float) -> bool:
        """The role's."""
        with self._lock, self._file.transaction() as run:
            run.execute("DELETE FROM done WHERE ends <= ?", (now,))
            sql = "SELECT time FROM done WHERE name = ? AND key = ?"
            found = run.execute(sql, (name, key)).fetchone()
            if found is not None and now - found[0] < within:
                return False
            run.execute(_DONE, (name, key, now, now + within))
        return True

    def undo(self, name: str, key: str) -> None:
        """The role's."""
        with self._lock, self._file.transaction() as run:
            run.execute("DELETE FROM done WHERE name = ? AND key = ?", (name, key))

    def _used(self, name: str, now: float) -> int:
        sql = "SELECT used FROM spent WHERE name = ? AND day = ?"
        rows = self._file.query(sql, (name, day(now)))
        return int(rows[0][0]) if rows else 0

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class RedisQuotas:
    """The role Quotas of all who share the Redis at `link`; each step is one script there."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    def take(self, name: str, limit: int, wanted: int, now: float) -> int:
        """The role's."""
        return int(self._link.run("take", [_day_key(name, now)], [limit, wanted, KEPT]))

    def left(self, name: str, limit: int, now: float) -> int:
        """The role's."""
        with self._link.errors():
            used = self._link.client.get(_day_key(name, now)) or b"0"
        return max(0, limit - (int(used) if used.isdigit() else 0))

    def told(self, name: str, limit: int, left: int, now: float) -> None:
        """The role's."""
        self._link.run("told", [_day_key(name, now)], [max(0, limit - left), KEPT])

    def once(self, name: str, key: str, within: float, now: float) -> bool:
        """The role's."""
        return bool(self._link.run("once", [_once_key(name, key)], [repr(now), repr(within)]))

    def undo(self, name: str, key: str) -> None:
        """The role's."""
        with self._link.errors():
            self._link.client.delete(_once_key(name, key))

    def close(self) -> None:
        """Closes the connections."""
        self._link.close()


def _day_key(name: str, now: float) -> str:
    return f"{PREFIX}{name}:{day(now)}"


def _once_key(name: str, key: str) -> str:
    return f"guard:once:{name}:{key}"


def open_quotas(settings: StoreSettings, state_dir: Path) -> FileQuotas | RedisQuotas:
    """The quotas that go with the store of `settings`. Raises Unavailable, Refused or Forbidden."""
    if (url := settings.redis) is not None:
        return RedisQuotas(RedisLink(url))
    return FileQuotas(open_file(state_dir / "quotas.db", SCHEMA, VERSION))
