"""Lines of log records into events; what is no record is counted and hides nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from guard.events import Event
from guard.filters.hear import HEARD, TYPES, event_of, fault
from guard.records import Heard, decode, decode_lines
from guard.sources.tally import NO_RECORD, TOO_LONG, UNKNOWN, Tally


def hear(
    runs: Sequence[bytes | None], tally: Tally, name: str, *, ids: bool = False
) -> list[Event]:
    """The events in `runs` of lines, which follow the `tally.lines` read of the file `name`.

    `ids` gives each rejection the id `name:line`, for sources that may repeat themselves.
    """
    events: list[Event] = []
    for run in runs:
        first = tally.lines + 1
        if run is None:
            tally.lines += 1
            tally.fault(TOO_LONG, name, first)
        else:
            events += _events(_records(run, tally, name, exact=ids), tally, name, ids=ids)
    return events


def _records(run: bytes, tally: Tally, name: str, *, exact: bool) -> Iterable[tuple[int, Heard]]:
    """The records of `run` with their line numbers; all at once where there is no fault.

    Counting line ends costs as much as reading a quarter of what is in the lines, so that only
    numbers which must be `exact` are checked against them.
    """
    first = tally.lines + 1
    try:
        records = decode_lines(run)
    except ValueError:
        records = []
    if records and (not exact or len(records) == run.count(b"\n")):
        tally.lines += len(records)
        return enumerate(records, first)
    lines = run.removesuffix(b"\n").split(b"\n")
    tally.lines += len(lines)
    return _one_by_one(lines, tally, name, first)


def _one_by_one(
    lines: Sequence[bytes], tally: Tally, name: str, first: int
) -> Iterator[tuple[int, Heard]]:
    for number, line in enumerate(lines, first):
        if not line.strip():
            continue
        try:
            yield number, decode(line)
        except ValueError:
            tally.fault(NO_RECORD, name, number)


def _events(
    records: Iterable[tuple[int, Heard]], tally: Tally, name: str, *, ids: bool
) -> list[Event]:
    events, types = [], tally.types
    for number, heard in records:
        if heard.type in HEARD:
            event = event_of(heard, f"{name}:{number}" if ids else "")
            if event is not None:
                events.append(event)
            elif (sort := fault(heard)) is not None:
                tally.fault(sort, name, number)
        elif heard.type not in TYPES:
            tally.fault(UNKNOWN, name, number)
            continue
        types[heard.type] += 1
    return events
