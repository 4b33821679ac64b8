"""Good standing on one host: a table in the state directory, or memory alone."""

from __future__ import annotations

from collections.abc import Sequence

from guard.events import Good
from guard.lib.networks import Network
from guard.stores.database import Database
from guard.stores.fresh import Fresh
from guard.stores.settings import STANDING_KEPT

VERSION = 1
DURABLE = False
SCHEMA = """
    CREATE TABLE standing (network TEXT PRIMARY KEY, time REAL NOT NULL, how TEXT NOT NULL)
        WITHOUT ROWID;
    CREATE INDEX standing_time ON standing (time)
"""
_NOTE = """
    INSERT INTO standing VALUES (?, ?, ?) ON CONFLICT (network)
        DO UPDATE SET time = excluded.time, how = excluded.how WHERE excluded.time > time
"""


class EmbeddedStanding:
    """The role Standing over `file`."""

    def __init__(self, file: Database) -> None:
        self._file, self._fresh = file, Fresh()

    def note(self, goods: Sequence[Good]) -> None:
        """The role's."""
        news = self._fresh.news(goods)
        if not news:
            return
        newest = max(good.time for good in news)
        with self._file.transaction() as run:
            run.executemany(_NOTE, [(str(g.network), g.time, g.how) for g in news])
            run.execute("DELETE FROM standing WHERE time < ?", (newest - STANDING_KEPT,))
        self._fresh.wrote(news)

    def known(self, networks: Sequence[Network]) -> list[Good | None]:
        """The role's."""
        return [self._one(network) for network in networks]

    def _one(self, network: Network) -> Good | None:
        sql = "SELECT time, how FROM standing WHERE network = ?"
        rows = self._file.query(sql, (str(network),))
        return Good(network, *rows[0]) if rows else None

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
