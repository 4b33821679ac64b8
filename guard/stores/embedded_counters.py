"""Counters in memory, with a journal beside them: for one process on one host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from guard.events import Offence, Overflow, Window
from guard.jails.window import add, times_of
from guard.lib.networks import Network
from guard.stores.journal import Batch, Journal, Limits
from guard.stores.journal import Table as Stored
from guard.stores.keys import Key, key_of
from guard.stores.tables import Generation, Table


class EmbeddedCounters:
    """The role `Counters`. Without a journal everything is gone at the end: for replay."""

    def __init__(self, journal: Journal | None = None) -> None:
        self._journal = journal
        self._tables: dict[str, Table] = {}
        if journal is not None:
            self._load(journal)

    def count(self, offences: Sequence[Offence], windows: Mapping[str, Window]) -> list[Overflow]:
        """The role's. Durable against the end of this process when it returns."""
        if self._journal is not None and offences:
            self._journal.note(offences, windows)
        overflows = self._count(offences, windows)
        if self._journal is not None:
            self._journal.tidy(self._snapshot)
        return overflows

    def _count(self, offences: Iterable[Offence], windows: Mapping[str, Window]) -> list[Overflow]:
        overflows: list[Overflow] = []
        tables = self._tables
        last: Network | None = None
        key: Key = 0
        for jail, window in windows.items():
            table = tables.get(jail)
            if table is not None:
                table.window = window
        for jail, network, time, rejections in offences:
            table = tables.get(jail)
            if table is None:
                window = windows[jail]
                table = tables[jail] = Table(window, time + window.findtime)
            elif time >= table.turn:
                table.move_on(time)
            if network is not last:
                last = network
                version, value, length = network
                key = value << 6 | length if version == 4 else key_of(network)
            young = table.young
            hits = young.get(key)
            if hits is None and table.elders:
                hits = table.take(key)
            hits, filled = add(hits, time, rejections, table.window)
            if filled:
                overflows.append(Overflow(jail, network, time, filled))
            if hits is None:
                young.pop(key, None)
            else:
                young[key] = hits
        return overflows

    def counted(self, network: Network) -> list[Offence]:
        """The role's."""
        key = key_of(network)
        held = [
            Offence(jail, network, time)
            for jail, table in self._tables.items()
            for time in times_of(table.find(key))
        ]
        return sorted(held, key=lambda offence: offence.time)

    def forget(self, network: Network) -> None:
        """The role's."""
        if self._journal is not None:
            self._journal.forget(network)
        self._forget(network)

    def _forget(self, network: Network) -> None:
        key = key_of(network)
        for table in self._tables.values():
            table.drop(key)

    def tracked(self) -> int:
        """How many windows are held, of all jails."""
        return sum(map(len, self._tables.values()))

    def close(self) -> None:
        """The role's."""
        if self._journal is not None:
            self._journal.rewrite(self._snapshot())
            self._journal.close()
            self._journal = None

    def _snapshot(self) -> Iterable[tuple[str, float, Generation]]:
        for jail, table in self._tables.items():
            for generation in table.generations():
                yield jail, table.turn, generation

    def _load(self, journal: Journal) -> None:
        windows: dict[str, Window] = {}
        for entry in journal.entries():
            if isinstance(entry, Stored):
                # The limits that follow bring the jail's real window.
                table = self._tables.setdefault(entry.jail, Table(Window(1, 0.0), entry.turn))
                table.young.update(entry.windows)
            elif isinstance(entry, Limits):
                windows = {name: Window(*window) for name, window in entry.windows.items()}
            elif isinstance(entry, Batch):
                self._count(entry.offences(), windows)
            else:
                self._forget(entry.network())
