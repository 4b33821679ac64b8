"""Lines of log records into events; what is no record is counted and hides nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from guard.events import Event
from guard.filters.hear import event_of, fault
from guard.records import Heard, decode, decode_lines
from guard.sources.tally import NO_RECORD, TOO_LONG, UNKNOWN, Tally

_type = attrgetter("type")


def hear(
    runs: Sequence[bytes | None], tally: Tally, name: str, *, ids: bool = False
) -> list[Event]:
    """The events in `runs` of lines, which follow the `tally.lines` read of the file `name`.

    `ids` gives each rejection the id `name:line`, for sources that may repeat themselves.
    """
    events: list[Event] = []
    for run in runs:
        if run is None:
            tally.lines += 1
            tally.fault(TOO_LONG, name, tally.lines)
        else:
            numbers, records = _records(run, tally, name, exact=ids)
            events += _events(numbers, records, tally, name, ids=ids)
    return events


def _records(
    run: bytes, tally: Tally, name: str, *, exact: bool
) -> tuple[Sequence[int], list[Heard]]:
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
        return range(first, first + len(records)), records
    return _one_by_one(run.removesuffix(b"\n").split(b"\n"), tally, name)


def _one_by_one(
    lines: Sequence[bytes], tally: Tally, name: str
) -> tuple[Sequence[int], list[Heard]]:
    numbers, records = [], []
    for number, line in enumerate(lines, tally.lines + 1):
        if not line.strip():
            continue
        try:
            records.append(decode(line))
            numbers.append(number)
        except ValueError:
            tally.fault(NO_RECORD, name, number)
    tally.lines += len(lines)
    return numbers, records


def _events(
    numbers: Sequence[int], records: list[Heard], tally: Tally, name: str, *, ids: bool
) -> list[Event]:
    """What the records say. Loops run in C where they can: most lines of a log are in order."""
    if ids:
        made = list(map(event_of, records, [f"{name}:{number}" for number in numbers]))
    else:
        made = list(map(event_of, records))
    tally.types.update(map(_type, records))
    events = [event for event in made if event is not None]
    if len(events) < len(records):
        for number, heard, event in zip(numbers, records, made, strict=True):
            if event is None and (sort := fault(heard)) is not None:
                tally.fault(sort, name, number)
                if sort == UNKNOWN:
                    tally.unknown(heard.type)
    return events
