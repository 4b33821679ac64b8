"""Lines of a text log into events, by a filter of fail2ban's kind.

The filter finds address and time; a match that names no address (a host name, whose owner says
where it points) is counted and is no event.
"""

from __future__ import annotations

from collections.abc import Sequence

from guard.events import Event, Rejection
from guard.filters.textfilter import Filter
from guard.lib.clock import Clock
from guard.sources.tally import TOO_LONG, Tally

NO_ADDRESS = "match without an address"


class TextHear:
    """Hears what `filter_` finds; `clock` gives lines without a date their time."""

    def __init__(self, filter_: Filter, clock: Clock) -> None:
        self._filter, self._clock = filter_, clock

    def __call__(
        self, runs: Sequence[bytes | None], tally: Tally, name: str, *, ids: bool = False
    ) -> list[Event]:
        """The events in `runs` of lines, which follow the `tally.lines` read of the file `name`."""
        events: list[Event] = []
        now, match = self._clock(), self._filter.match
        for run in runs:
            if run is None:
                tally.lines += 1
                tally.fault(TOO_LONG, name, tally.lines)
                continue
            for line in run.removesuffix(b"\n").split(b"\n"):
                tally.lines += 1
                found = match(line, now)
                if found is None:
                    continue
                if found.address:
                    id_ = f"{name}:{tally.lines}" if ids else ""
                    event = Rejection(
                        found.time, found.address, None, filter=self._filter.name, id=id_
                    )
                    events.append(event)
                else:
                    tally.fault(NO_ADDRESS, name, tally.lines)
        return events
