"""The store of a host that is alone: memory, with SQLite files in the state directory."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from guard.roles import Forbidden, Refused
from guard.stores import embedded_standing as standing
from guard.stores.database import Database
from guard.stores.embedded_counters import EmbeddedCounters
from guard.stores.embedded_ledger import SCHEMA, VERSION, EmbeddedLedger
from guard.stores.embedded_standing import EmbeddedStanding
from guard.stores.journal import Journal
from guard.stores.settings import STRIKES_KEPT


class EmbeddedStore:
    """`counters`, `ledger` and `standing` in `directory`; None keeps them in memory only.

    One process at a time: a second one is Refused, for it would count apart from the first.
    """

    def __init__(self, directory: Path | None, *, strikes_kept: float = STRIKES_KEPT) -> None:
        self._lock = -1
        if directory is None:
            self.counters = EmbeddedCounters()
            self.ledger = EmbeddedLedger(None, strikes_kept)
            self.standing = EmbeddedStanding(_standing(":memory:"))
            return
        self._lock = _lock(directory)
        try:
            self._open(directory, strikes_kept)
        except BaseException:
            os.close(self._lock)
            raise

    def _open(self, directory: Path, strikes_kept: float) -> None:
        journal = Journal(directory / "counters.journal")
        try:
            self.counters = EmbeddedCounters(journal)
            file = Database(directory / "ledger.db", schema=SCHEMA, version=VERSION, durable=True)
            try:
                self.ledger = EmbeddedLedger(file, strikes_kept)
                self.standing = EmbeddedStanding(_standing(directory / "standing.db"))
            except BaseException:
                file.close()
                raise
        except BaseException:
            journal.close()
            raise

    def close(self) -> None:
        """Writes what is left and lets go of the files. Safe to repeat."""
        self.counters.close()
        self.ledger.close()
        self.standing.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _standing(path: Path | str) -> Database:
    return Database(Path(path), schema=standing.SCHEMA, version=standing.VERSION, durable=False)


def _lock(directory: Path) -> int:
    """A descriptor that holds the directory until it is closed, by the end of the process too."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        descriptor = os.open(directory / "store.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise Forbidden(f"cannot write in {directory}: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise Refused(
            f"the store in {directory} is in use by another guard; "
            "processes share a store through Redis: [store] url"
        ) from None
    return descriptor
