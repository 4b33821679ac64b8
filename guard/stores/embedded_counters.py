"""Counters in memory, with a journal beside them: for one process on one host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from guard.events import Batch, Offence, Overflow, Window
from guard.lib.networks import Network
from guard.stores.journal import Batch as Counted
from guard.stores.journal import Forgotten, Journal, Kept, Limits, Older, Once, Sets
from guard.stores.journal import Table as Stored
from guard.stores.keys import key_of
from guard.stores.shelves import Shelves


class EmbeddedCounters:
    """The role `Counters`. Without a journal everything is gone at the end: for replay."""

    def __init__(self, journal: Journal | None = None) -> None:
        self._journal = journal
        self._shelves = Shelves()
        self._marks: dict[str, bytes] = {}
        self._open: list[Overflow] = []  # told and not settled
        if journal is not None:
            self._load(journal)

    def count(self, offences: Sequence[Offence], windows: Mapping[str, Window]) -> list[Overflow]:
        """The role's. Durable against the end of this process when it returns."""
        if self._journal is not None and offences:
            self._journal.note(offences, windows)
        overflows = self._shelves.count(offences, windows)
        if self._journal is not None:
            self._journal.tidy(self._snapshot)
        return overflows

    def count_once(self, batch: Batch) -> list[Overflow]:
        """The role's. Durable against the end of this process when it returns."""
        if not (batch.parts or batch.mark or (batch.settled and self._open)):
            return []
        if self._journal is not None:
            self._journal.once(batch)
        overflows = self._count_once(batch)
        if self._journal is not None:
            self._journal.tidy(self._snapshot)
        return overflows

    def _count_once(self, batch: Batch) -> list[Overflow]:
        overflows: list[Overflow] = []
        for part in batch.parts:
            overflows += self._shelves.count(part.offences, part.windows)
        if batch.mark is not None:
            self._marks[batch.mark.source] = batch.mark.place
        self._open = [] if batch.settled else self._open
        self._open += overflows
        return overflows

    def mark(self, source: str) -> bytes | None:
        """The role's."""
        return self._marks.get(source)

    def unsettled(self) -> list[Overflow]:
        """The role's."""
        return list(self._open)

    def counted(self, network: Network) -> list[Offence]:
        """The role's."""
        return self._shelves.counted(network)

    def forget(self, *networks: Network) -> None:
        """The role's."""
        if self._journal is not None:
            self._journal.forget(*networks)
        self._forget(*networks)

    def _forget(self, *networks: Network) -> None:
        for network in networks:
            self._shelves.forget(network)
        gone = set(networks)
        self._open = [overflow for overflow in self._open if overflow.network not in gone]

    def tracked(self) -> int:
        """How many addresses are held; one of several jails may be held more than once."""
        return len(self._shelves)

    def close(self) -> None:
        """The role's."""
        if self._journal is not None:
            self._journal.rewrite(self._snapshot())
            self._journal.close()
            self._journal = None

    def _snapshot(self) -> Iterable[Stored | Kept | Sets]:
        yield Kept(self._marks, [(o.jail, key_of(o.network), *o[2:]) for o in self._open])
        yield Sets(self._shelves.sets.names, dict(self._shelves.known()))
        for table in self._shelves.tables():
            for windows in table.chunks():
                yield Stored(table.span, table.turn, windows)

    def _load(self, journal: Journal) -> None:
        windows: dict[str, Window] = {}
        for entry in journal.entries():
            if isinstance(entry, Stored):
                self._shelves.table(entry.span, entry.turn).put(entry.windows)
            elif isinstance(entry, Older):
                # Nothing fills: what had filled was not held any more.
                self._shelves.count(entry.offences(), {entry.jail: Window(1 << 30, 1e9)})
            elif isinstance(entry, Sets):
                self._shelves.restore(entry.names, entry.windows())
            elif isinstance(entry, Limits):
                windows = entry.read()
            elif isinstance(entry, Counted):
                self._shelves.count(entry.offences(), windows)
            elif isinstance(entry, Once):
                self._count_once(entry.batch())
            elif isinstance(entry, Forgotten):
                self._forget(entry.network())
            else:
                self._marks, self._open = dict(entry.marks), entry.unsettled()
