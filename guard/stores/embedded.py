"""The store of a host that is alone: memory, with SQLite files in the state directory."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from guard.lib.lockfile import hold
from guard.roles import Forbidden, Refused
from guard.stores import embedded_crowds as crowds
from guard.stores import embedded_ledger as ledger
from guard.stores import embedded_standing as standing
from guard.stores.database import Database
from guard.stores.embedded_counters import EmbeddedCounters
from guard.stores.embedded_crowds import EmbeddedCrowds
from guard.stores.embedded_ledger import EmbeddedLedger
from guard.stores.embedded_standing import EmbeddedStanding
from guard.stores.journal import Journal
from guard.stores.settings import STRIKES_KEPT


class EmbeddedStore:
    """All parts of a store in `directory`; None keeps them in memory only.

    One process at a time: a second one is Refused, for it would count apart from the first.
    """

    def __init__(self, directory: Path | None, *, strikes_kept: float = STRIKES_KEPT) -> None:
        with ExitStack() as stack:
            if directory is not None:
                stack.callback(os.close, _lock(directory))
            journal = None if directory is None else Journal(directory / "counters.journal")
            self.counters = EmbeddedCounters(journal)
            stack.callback(self.counters.close)
            file = None if directory is None else _file(directory / "ledger.db", ledger)
            self.ledger = EmbeddedLedger(file, strikes_kept)
            stack.callback(self.ledger.close)
            memory = Path(":memory:")
            self.standing = EmbeddedStanding(
                _file(memory if directory is None else directory / "standing.db", standing)
            )
            stack.callback(self.standing.close)
            self.crowds = EmbeddedCrowds(
                _file(memory if directory is None else directory / "crowds.db", crowds)
            )
            stack.callback(self.crowds.close)
            self._stack = stack.pop_all()

    def said(self) -> str:
        """For the status: what fails is raised by what was asked."""
        return "answers"

    def close(self) -> None:
        """Writes what is left and lets go of the files. Safe to repeat."""
        self._stack.close()


class _Kept(Protocol):
    """A module that keeps a file: its schema, and whether a power cut must not take anything."""

    SCHEMA: str
    VERSION: int
    DURABLE: bool


def _file(path: Path, kept: _Kept) -> Database:
    return Database(path, schema=kept.SCHEMA, version=kept.VERSION, durable=kept.DURABLE)


def _lock(directory: Path) -> int:
    try:
        return hold(directory / "store.lock")
    except BlockingIOError:
        raise Refused(
            f"the store in {directory} is in use by another guard; "
            "processes share a store through Redis: [store] url"
        ) from None
    except OSError as error:
        raise Forbidden(f"cannot write in {directory}: {error.strerror}") from None
