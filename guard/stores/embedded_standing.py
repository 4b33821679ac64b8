"""Good standing on one host: a table in the state directory, or memory alone."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from guard.events import Good
from guard.lib.networks import Network, parse_network
from guard.stores.database import Database
from guard.stores.fresh import Fresh
from guard.stores.hints import Hints
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
_ALL = "SELECT network FROM standing"
_KNOWN = """
    SELECT network, time, how FROM standing WHERE network IN (SELECT value FROM json_each(?))
"""


class EmbeddedStanding:
    """The role Standing over `file`."""

    def __init__(self, file: Database) -> None:
        self._file, self._fresh = file, Fresh()
        self._hints = Hints([parse_network(text) for (text,) in file.query(_ALL)])

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
        self._hints.add(good.network for good in news)

    def known(self, networks: Sequence[Network]) -> list[Good | None]:
        """The role's."""
        # Of a thousand whom a jail wants to ban hardly anyone is.
        texts = {network: str(network) for network in self._hints.likely(networks)}
        if not texts:
            return [None] * len(networks)
        rows = self._file.query(_KNOWN, (msgspec.json.encode([*texts.values()]).decode(),))
        found = {text: (time, how) for text, time, how in rows}
        told = [found.get(texts.get(network, "")) for network in networks]
        return [row and Good(net, *row) for net, row in zip(networks, told, strict=True)]

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
