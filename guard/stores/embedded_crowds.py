"""Crowds on one host: a table in the state directory, or memory alone. Asked once per ban."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from guard.lib.networks import Network
from guard.stores.database import Database

VERSION = 1
DURABLE = False
SCHEMA = """
    CREATE TABLE members (block TEXT, member TEXT, time REAL, ends REAL,
        PRIMARY KEY (block, member)) WITHOUT ROWID;
    CREATE INDEX members_ends ON members (ends)
"""
_JOIN = """
    INSERT INTO members VALUES (?, ?, ?, ?) ON CONFLICT (block, member)
        DO UPDATE SET time = excluded.time, ends = excluded.ends WHERE excluded.time > time
"""
_LATE = 3600.0


class EmbeddedCrowds:
    """The role `Crowds` over `file`."""

    def __init__(self, file: Database) -> None:
        self._file = file

    def join(self, block: Network, member: Network, time: float, within: float) -> int:
        """The role's."""
        with self._file.transaction() as run:
            run.execute("DELETE FROM members WHERE ends <= ?", (time,))
            run.execute(_JOIN, (str(block), str(member), time, time + within + _LATE))
            sql = "SELECT count(*) FROM members WHERE block = ? AND time > ?"
            count: int = run.execute(sql, (str(block), time - within)).fetchone()[0]
        return count

    def leave(self, gone: Mapping[Network, Sequence[Network]]) -> None:
        """The role's."""
        with self._file.transaction() as run:
            for block, members in gone.items():
                if not members:
                    run.execute("DELETE FROM members WHERE block = ?", (str(block),))
                for member in members:
                    found = str(block), str(member)
                    run.execute("DELETE FROM members WHERE block = ? AND member = ?", found)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
