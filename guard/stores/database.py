"""SQLite files in the state directory: opened, versioned, and their errors in an operator's words.

A connection is opened in one thread and then used by another, by one thread at a time. WAL, so
that a process that dies loses nothing that was committed; `durable` also survives a power cut.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from guard.roles import Forbidden, Refused, Unavailable

TOGETHER = 100  # rows in one statement; SQLite before 3.32 took 999 values at most


class Database:
    """One SQLite file; `schema` is run where the file is new, `version` is that of the schema."""

    def __init__(self, path: Path, *, schema: str, version: int, durable: bool) -> None:
        self.path = path
        with self.errors():
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            try:
                self._prepare(schema, version, durable=durable)
            except BaseException:
                self._connection.close()
                raise

    def _prepare(self, schema: str, version: int, *, durable: bool) -> None:
        run = self._connection.execute
        run("PRAGMA journal_mode = WAL")
        run(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        found = run("PRAGMA user_version").fetchone()[0]
        if found not in (0, version):
            raise Refused(
                f"{self.path} has format {found} and this Guard knows {version}: "
                "it was written by another release"
            )
        if found == 0:
            self._connection.executescript(
                f"BEGIN; {schema}; PRAGMA user_version = {version}; COMMIT;"
            )

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Says what SQLite raises as Unavailable or Refused."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if "unable to open" in str(error) or "readonly" in str(error):
                raise Forbidden(f"cannot write {self.path}: {error}") from None
            raise Unavailable(f"{self.path}: {error}") from None
        except sqlite3.DatabaseError as error:
            raise Refused(f"{self.path} cannot be read: {error}") from None

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; committed when the block ends. Raises Unavailable or Refused."""
        with self.errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    @staticmethod
    def write(run: sqlite3.Connection, into: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Puts `rows` `into` a table, a statement up to its VALUES, within a transaction.

        Many by one statement, which costs two thirds of a statement for each.
        """
        if not rows:
            return
        places = f"({', '.join('?' * len(rows[0]))})"
        many = len(rows) // TOGETHER * TOGETHER
        together = f"{into} {', '.join([places] * TOGETHER)}"
        for at in range(0, many, TOGETHER):
            run.execute(together, [value for row in rows[at : at + TOGETHER] for value in row])
        run.executemany(f"{into} {places}", rows[many:])

    def query(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows that `sql` gives."""
        with self.errors():
            return self._connection.execute(sql, values).fetchall()

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()


def open_file(path: Path, schema: str, version: int, *, durable: bool = False) -> Database:
    """The file at `path`, its folder made where it is missing. Raises Forbidden or Refused."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    except OSError as error:
        raise Forbidden(f"cannot write in {path.parent}: {error.strerror}") from None
    return Database(path, schema=schema, version=version, durable=durable)
