"""The ledger of one host: in memory for reading, in SQLite before anybody is told it is done."""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from guard.events import Claim, Past, Remembered
from guard.lib.bulk import bulk
from guard.lib.networks import Network, parse_network
from guard.stores.book import Book
from guard.stores.database import Database

SCHEMA = """
CREATE TABLE claims (
    source TEXT, network TEXT, reason TEXT, since REAL, until REAL, strikes INTEGER,
    PRIMARY KEY (source, network)) WITHOUT ROWID;
CREATE TABLE records (network TEXT PRIMARY KEY, strikes TEXT, ended REAL) WITHOUT ROWID
"""
VERSION = 1
DURABLE = True


class EmbeddedLedger:
    """The role `Ledger`. Without a file everything is gone at the end: for replay."""

    def __init__(self, file: Database | None, memory: float) -> None:
        self._file, self._memory = file, memory
        self._life = secrets.token_hex(4)  # a cursor of an earlier run says nothing of this one
        self._book = self._load()

    def claim(self, claims: Sequence[Claim], now: float) -> list[Claim]:
        """The role's."""
        with self._change(now) as book:
            return [book.claim(claim, now) for claim in claims]

    def withdraw(self, network: Network | None, source: str | None, now: float) -> list[Claim]:
        """The role's."""
        with self._change(now) as book:
            return book.withdraw(network, source, now)

    def replace(self, source: str, claims: Sequence[Claim], now: float) -> tuple[int, int]:
        """The role's."""
        with self._change(now) as book:
            return book.replace(source, claims, now)

    def claims(self, now: float) -> list[Claim]:
        """The role's."""
        with bulk():
            return self._book.claims(now)

    def size(self, now: float) -> int:
        """The role's."""
        return self._book.size(now)

    def past(self, networks: Sequence[Network], now: float) -> list[Past]:
        """The role's."""
        return self._book.pasts(networks, now)

    def remembered(self) -> list[Remembered]:
        """The role's."""
        return self._book.remembered()

    def remember(self, rows: Sequence[Remembered]) -> None:
        """The role's."""
        with self._change(-math.inf) as book:
            for row in rows:
                book.remember(row)

    def restore(self, claims: Sequence[Claim], now: float) -> None:
        """The role's."""
        with self._change(now) as book:
            for claim in claims:
                book.claim(claim, now, restored=True)

    def changes(self, cursor: str) -> tuple[str, set[Network] | None]:
        """The role's."""
        newest = f"{self._life}:{self._book.version}"
        life, _, version = cursor.partition(":")
        if life != self._life or not version.isdecimal():
            return newest, None
        return newest, self._book.changed_since(int(version))

    def close(self) -> None:
        """The role's."""
        if self._file is not None:
            self._file.close()

    @contextmanager
    def _change(self, now: float) -> Iterator[Book]:
        """The book to be changed; written when the block ends.

        Where anything fails it is read anew, as it is on disk.
        """
        try:
            self._book.expire(now)
            yield self._book
            self._save()
        except BaseException:
            if self._file is not None:
                self._life = secrets.token_hex(4)
                self._book = self._load()
            raise

    def _save(self) -> None:
        dirty = self._book.drain()
        if self._file is None or not (dirty.claims or dirty.strikes):
            return
        encode = msgspec.json.Encoder().encode
        text = {network: str(network) for network in dirty.strikes}
        for _, network in dirty.claims:
            if network not in text:
                text[network] = str(network)
        claims = [
            (source, text[n], claim.reason, claim.since, claim.until, claim.strikes)
            for (source, n), claim in dirty.claims.items()
            if claim is not None
        ]
        records = [
            (text[network], encode(row.strikes).decode(), row.ended)
            for network, row in dirty.strikes.items()
            if row is not None
        ]
        # As they lie in the file, which costs a fifth less.
        claims.sort()
        records.sort()
        with self._file.transaction() as connection:
            connection.executemany(
                "DELETE FROM claims WHERE source = ? AND network = ?",
                [(source, text[n]) for (source, n), claim in dirty.claims.items() if claim is None],
            )
            self._file.write(connection, "INSERT OR REPLACE INTO claims VALUES", claims)
            connection.executemany(
                "DELETE FROM records WHERE network = ?",
                [(text[network],) for network, row in dirty.strikes.items() if row is None],
            )
            self._file.write(connection, "INSERT OR REPLACE INTO records VALUES", records)

    def _load(self) -> Book:
        book = Book(self._memory)
        if self._file is None:
            return book
        for source, network, *rest in self._file.query(
            "SELECT source, network, reason, since, until, strikes FROM claims ORDER BY since"
        ):
            book.put(Claim(parse_network(network), source, *rest))
        for network, strikes, ended in self._file.query("SELECT * FROM records"):
            book.remember(Remembered(parse_network(network), json.loads(strikes), ended))
        book.drain()
        return book
