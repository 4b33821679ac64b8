"""Counting for the pipeline, exactly once where the counters can do that.

A batch, its mark and the word that what came before is settled are one step of the counters. After
a crash they tell which overflows nobody settled. Their claims may have been made all the same: such
a claim begins at the very moment of its overflow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from guard.events import Batch, Mark, Offence, Overflow, Part, Window
from guard.roles import Counters, ExactCounters


class Once:
    """Wraps `counters` of either kind. Raises what they raise; then nothing has changed.

    While `open` says so nothing is settled: there are overflows that nobody can judge yet.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._exact = counters if isinstance(counters, ExactCounters) else None
        self._unsettled = False
        self._recovering = False
        self.open = False

    def count(self, parts: list[Part], mark: Mark | None) -> list[Overflow]:
        """Counts `parts`, and takes out of the list what must not be counted again."""
        if self._exact is not None and (parts or mark is not None):
            found = self._exact.count_once(Batch(tuple(parts), mark))
            parts.clear()
        else:
            found = []
            while parts:
                found += self._counters.count(*parts[0])
                del parts[0]
        self._unsettled |= bool(found)
        return found

    def count_on(
        self, offences: Sequence[Offence], windows: Mapping[str, Window]
    ) -> list[Overflow]:
        """Counts what came of all overflows told so far, whose claims are made."""
        if not offences:
            return []
        if self._exact is None:
            return self._counters.count(offences, windows)
        settled = not (self._recovering or self.open)
        found = self._exact.count_once(Batch((Part(offences, windows),), settled=settled))
        self._unsettled = bool(found) or not settled
        return found

    def settle(self) -> None:
        """Everything that came of the overflows is in the ledger."""
        if self._recovering or self.open:
            return
        if self._unsettled and self._exact is not None:
            self._exact.count_once(Batch(settled=True))
        self._unsettled = False

    def late(self, windows: Mapping[str, Window]) -> list[Overflow]:
        """What filled in the meantime, in a store that was away."""
        if self._exact is None:
            return self._counters.count((), windows)
        found = self._exact.count_once(Batch())
        self._unsettled |= bool(found)
        return found

    def left(self) -> list[Overflow]:
        """What the process before this one did not settle; nothing is until `recovered`."""
        found = [] if self._exact is None else self._exact.unsettled()
        self._recovering = self._unsettled = bool(found)
        return found

    def recovered(self) -> None:
        """All that was left is in the ledger, and counted where bans count."""
        self._recovering = False

    def mark(self, source: str) -> bytes | None:
        """The place of the last batch of `source`; None where nobody knows."""
        return None if self._exact is None else self._exact.mark(source)
