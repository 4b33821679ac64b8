"""Windows in memory: one value per address, small where there are many, on a shelf for each length
of time.

Jails that may count the same rejection have the same `span`, and what an address did is kept once
for all of them. What is old goes without a search: each shelf is a table of three generations.
Nothing in the tables is an object that Python's garbage collector looks at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from guard.events import Offence, Overflow, Window
from guard.jails.window import (
    ENTRY,
    Hits,
    Rule,
    Sets,
    add_exactly,
    add_next,
    merged,
    pack,
    parts,
    span_of,
    times_of,
    unpack_from,
)
from guard.lib.networks import Network
from guard.stores.keys import Key, key_of
from guard.stores.small import count_into
from guard.stores.tables import Table


class Shelves:
    """What `Counters` does, without a file."""

    def __init__(self) -> None:
        self.sets = Sets()
        self._tables: dict[float, Table] = {}
        self._known: dict[str, Window] = {}  # of every jail that ever was
        self._windows: dict[str, Window] = {}
        self._rules: dict[str, tuple[Rule, Table]] = {}

    def count(self, offences: Iterable[Offence], windows: Mapping[str, Window]) -> list[Overflow]:
        """The role's."""
        if windows != self._windows:
            self._learn(windows)
        overflows: list[Overflow] = []
        rules, last = self._rules, None
        new = tuple.__new__  # half the cost of a named tuple's own
        for jail, network, time, rejections in offences:
            if jail is not last:
                last = jail
                rule, table = rules.get(jail) or self._rule(jail, time)
                least, number = rule.least, rule.number
            if time >= table.turn:
                table.move_on(time)
            version, address, length = network
            key: Key = address << 6 | length if version == 4 else key_of(network)
            young = table.young
            value = young.get(key)
            if value is None and table.elders:
                value = table.take(key)
            if table.dense:
                filled = count_into(young, key, value, time, rejections, rule, table.usual)
            else:
                hits: Hits = value or b""  # type: ignore[assignment] # no other form is in it
                # The common case first: one more, later than all before, that fills nothing.
                held = len(hits)
                later = not held or time >= unpack_from(hits, held - ENTRY)[0]
                if later and rejections == 1 and held + ENTRY < least:
                    young[key] = hits + pack(time, number)
                    continue
                hits, filled = (add_next if later else add_exactly)(hits, time, rejections, rule)
                if hits:
                    young[key] = hits
                else:
                    young.pop(key, None)
            for name, total in filled:
                overflows.append(new(Overflow, (name, network, time, total)))
        self._thicken()
        return overflows

    def _thicken(self) -> None:
        for table in self._tables.values():
            table.thicken()

    def _rule(self, name: str, time: float) -> tuple[Rule, Table]:
        """The rule and the shelf of a set of jails."""
        rule = Rule(name, self._windows, self.sets, self._known)
        span = span_of(self._windows[rule.jails[0][0]])
        table = self._tables.get(span)
        if table is None:
            table = self._tables[span] = Table(span, time + span)
        if table.usual < 0:
            table.usual = rule.number
        found = self._rules[name] = rule, table
        return found

    def _learn(self, windows: Mapping[str, Window]) -> None:
        """Takes up other windows; where a span is another, all finds its new place."""
        self._windows, self._rules = dict(windows), {}
        moved = any(
            jail in self._known and span_of(self._known[jail]) != span_of(window)
            for jail, window in windows.items()
        )
        self._known.update(windows)
        if moved:
            self._move()

    def _move(self) -> None:
        """Puts everything where the spans of now say."""
        held, self._tables = self._tables, {}
        for table in held.values():
            for chunk in table.chunks():
                for key, hits in chunk.items():
                    for span, part in parts(hits, self.sets, self._known).items():
                        # The next rejection begins a generation: all of this is older.
                        now = self._tables.setdefault(span, Table(span, float("-inf")))
                        now.put({key: merged(now.find(key), part)})

    def counted(self, network: Network) -> list[Offence]:
        """The role's."""
        key = key_of(network)
        held = [
            Offence(jail, network, time)
            for table in self._tables.values()
            for jail, time in times_of(table.find(key), self.sets, self._known)
        ]
        return sorted(held, key=lambda offence: offence.time)

    def forget(self, network: Network) -> None:
        """The role's."""
        key = key_of(network)
        for table in self._tables.values():
            table.drop(key)

    def __len__(self) -> int:
        """How many addresses are held, once for each shelf."""
        return sum(map(len, self._tables.values()))

    def tables(self) -> Iterator[Table]:
        """All shelves, for a snapshot."""
        yield from self._tables.values()

    def known(self) -> Mapping[str, Window]:
        """The last window of every jail that ever was, for a snapshot."""
        return self._known

    def restore(self, names: Sequence[str], known: Mapping[str, Window]) -> None:
        """Begins anew with the sets and windows of a snapshot, whose tables follow."""
        self.sets, self._known = Sets(names), dict(known)
        self._tables, self._windows, self._rules = {}, {}, {}

    def table(self, span: float, turn: float) -> Table:
        """The shelf of a snapshot, to be filled."""
        return self._tables.setdefault(span, Table(span, turn))
