"""A Sink in front of the record log: equal rejections of one address become lines with a count.

The first is written at once, those after it as one record with their `count` when the window
ends, so that an attack of a million rejections is a handful of lines. Equal means the same
address, kind and reply code. Everything else goes straight through. Counting for jails does not
pass through here.
"""

from __future__ import annotations

import asyncio

import msgspec

from guard.lib.clock import Clock
from guard.lib.collapse import Collapse
from guard.records import Record
from guard.roles import Sink


class CollapsedRecords:
    """Hands on to `sink` with windows of `window` seconds. Lives on the event loop."""

    def __init__(self, sink: Sink, window: float, clock: Clock) -> None:
        self._sink, self._window, self._clock = sink, window, clock
        self._runs: Collapse[tuple[str, object, int], Record] = Collapse(window)
        self._timer: asyncio.TimerHandle | None = None

    def put(self, record: Record) -> None:
        """Takes `record`. Never raises."""
        if record.type != "Rejection" or record.peer_address is None:
            self._sink.put(record)
            return
        key = (record.peer_address.addr, record.kind, record.response.code)
        count = record.count if isinstance(record.count, int) else 1
        told = self._runs.see(key, record, count, self._clock())
        if told:
            self._write(told)
        if self._timer is None:
            self._watch()

    def close(self) -> None:
        """Writes what was counted and not yet written."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        self._write(self._runs.rest())

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(min(self._window, 1.0), self._look)

    def _look(self) -> None:
        self._timer = None
        self._write(self._runs.due(self._clock()))
        if len(self._runs):
            self._watch()

    def _write(self, told: list[tuple[Record, int]]) -> None:
        for record, count in told:
            self._sink.put(record if count == 1 else msgspec.structs.replace(record, count=count))
