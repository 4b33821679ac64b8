"""What was read and what could not be: counts, and the first place of each sort of fault.

Bounded: sorts of faults and types of records are names of ours, never text of a log.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

NO_RECORD = "no log record"
TOO_LONG = "line too long"
CUT_SHORT = "last line cut short"
DAMAGED = "damaged compression"
UNKNOWN = "unknown type"


@dataclass(slots=True)
class Faults:
    """How often one sort of fault was met, and where first (`file:line`)."""

    count: int
    first: str


@dataclass(slots=True)
class Tally:
    """`types` counts records by type, unknown ones apart; `lines` counts what was no record too.

    `heard` counts events, where somebody counts them.
    """

    lines: int = 0
    heard: int = 0
    types: Counter[str] = field(default_factory=Counter)
    faults: dict[str, Faults] = field(default_factory=dict)

    @property
    def records(self) -> int:
        """How many lines were records, of known type or not."""
        unknown = self.faults.get(UNKNOWN)
        return self.types.total() + (unknown.count if unknown else 0)

    @property
    def faulty(self) -> int:
        """How often anything could not be read, or meant nothing; unknown types are no fault."""
        return sum(found.count for sort, found in self.faults.items() if sort != UNKNOWN)

    def fault(self, sort: str, name: str, line: int) -> None:
        """Counts a fault of `sort` met in line `line` of the file `name`."""
        known = self.faults.get(sort)
        if known is None:
            self.faults[sort] = Faults(1, f"{name}:{line}")
        else:
            known.count += 1

    def unknown(self, kind: str) -> None:
        """Takes back the count of a type of record that is a stranger's word."""
        self.types[kind] -= 1
        if not self.types[kind]:
            del self.types[kind]

    def add(self, other: Tally) -> None:
        """Counts what `other` counted, too."""
        self.lines += other.lines
        self.heard += other.heard
        self.types += other.types
        for sort, faults in other.faults.items():
            known = self.faults.setdefault(sort, Faults(0, faults.first))
            known.count += faults.count
