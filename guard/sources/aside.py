"""Old logs read in a process beside this one: reading and counting then use two processors.

The same events in the same order as history.Reader gives, over a pipe. What the other process
cannot read it says in words; when it dies this one does not wait for it. As a program it takes
what to read on standard input and writes frames: a kind, a length, and so many bytes.
"""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from guard.events import Acceptance, Event, Rejection
from guard.lib.bulk import collect_seldom
from guard.roles import BadInput, GuardError, Unavailable
from guard.sources.history import Advance, Hear, Reader
from guard.sources.tally import Faults, Tally

_EVENTS, _ADVANCE, _END, _ERROR = b"e", b"a", b"z", b"x"
_HEAD = struct.Struct(">cI")
_events = msgspec.msgpack.Decoder(list[Rejection | Acceptance])
_encoder = msgspec.msgpack.Encoder()


class Task(msgspec.Struct, frozen=True):
    """What to read: log records, or text lines by a filter from the folders `filters`."""

    paths: tuple[str, ...]
    filter: str | None = None
    filters: tuple[str, ...] = ()

    def hear(self) -> Hear:
        """What makes events of lines. Raises ConfigError for a filter that cannot be used."""
        if self.filter is None:
            from guard.sources.recordlines import hear

            return hear
        from guard.filters.load import load_filter
        from guard.lib.clock import now
        from guard.sources.textlines import TextHear

        return TextHear(load_filter(self.filter, [Path(path) for path in self.filters]), now)

    def reader(self, advance: Advance = int) -> Reader:
        """Reads it in this process."""
        return Reader([Path(path) for path in self.paths], self.hear(), advance)


class _End(msgspec.Struct):
    """What is known when all is read."""

    lines: int
    heard: int
    types: dict[str, int]
    faults: dict[str, tuple[int, str]]
    foreign: list[str]


class Aside:
    """Reads `task` as history.Reader does, `tally` and `foreign` included."""

    def __init__(self, task: Task, advance: Advance = int) -> None:
        self.tally = Tally()
        self.foreign: list[str] = []
        self._task, self._advance = task, advance

    def batches(self) -> Iterator[list[Event]]:
        """Every event in order of time. Raises BadInput when a file cannot be read."""
        command = [sys.executable, "-m", "guard.sources.aside"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            out = cast("BinaryIO", process.stdout)
            try:
                process.stdin.write(msgspec.json.encode(self._task))
                process.stdin.close()
                yield from self._receive(out)
            finally:
                process.kill()

    def _receive(self, pipe: BinaryIO) -> Iterator[list[Event]]:
        while True:
            head = pipe.read(_HEAD.size)
            if len(head) < _HEAD.size:
                raise Unavailable("the process that reads the logs ended before them")
            kind, size = _HEAD.unpack(head)
            data = pipe.read(size)
            if kind == _EVENTS:
                yield _events.decode(data)
            elif kind == _ADVANCE:
                self._advance(int(data))
            elif kind == _ERROR:
                raise BadInput(data.decode("utf-8", "replace"))
            else:
                self._take(msgspec.msgpack.decode(data, type=_End))
                return

    def _take(self, end: _End) -> None:
        faults = {sort: Faults(count, first) for sort, (count, first) in end.faults.items()}
        self.tally.add(Tally(end.lines, end.heard, Counter(end.types), faults))
        self.foreign += end.foreign


def read_aside(request: bytes, out: BinaryIO) -> None:
    """Reads what `request` asks for and writes frames to `out`."""

    def send(kind: bytes, data: bytes) -> None:
        out.write(_HEAD.pack(kind, len(data)) + data)

    task = msgspec.json.decode(request, type=Task)
    try:
        reader = task.reader(lambda count: send(_ADVANCE, b"%d" % count))
        for batch in reader.batches():
            send(_EVENTS, _encoder.encode(batch))
    except GuardError as error:
        send(_ERROR, str(error).encode("utf-8", "replace"))
    else:
        tally = reader.tally
        faults = {sort: (found.count, found.first) for sort, found in tally.faults.items()}
        send(
            _END,
            _encoder.encode(
                _End(tally.lines, tally.heard, dict(tally.types), faults, reader.foreign)
            ),
        )
    out.flush()


def text_of(paths: Sequence[Path]) -> tuple[str, ...]:
    """Paths as a task has them."""
    return tuple(os.fspath(path) for path in paths)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started this ends it
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    collect_seldom(100_000)
    read_aside(sys.stdin.buffer.read(), sys.stdout.buffer)
