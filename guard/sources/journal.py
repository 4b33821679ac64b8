"""The systemd journal, through `journalctl`: entries by fail2ban's journalmatch, cursor kept.

Trusts fields that begin with `_`, which journald itself writes, to select; a filter decides by the
message as ever. Reads only, and needs no more than the right to read the journal.
"""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import AsyncIterator, Sequence
from hashlib import blake2b
from pathlib import Path

import msgspec

from guard.events import Event, Rejection
from guard.filters.textfilter import Filter
from guard.lib.clock import Clock, now
from guard.lib.logs import printable
from guard.roles import Refused, Unavailable
from guard.sources.checkpoint import Checkpoint
from guard.sources.entries import Entry, journal_entry
from guard.sources.lines import Lines
from guard.sources.tally import NO_RECORD, TOO_LONG, Tally

LOOK_BACK = 86400.0
_BLOCK = 64 << 10
_MATCH = re.compile(r"\+|[A-Z0-9_]{1,64}=.+", re.DOTALL)


class Cursor(msgspec.Struct, frozen=True):
    """The journal's own word for a place, and its time for when the journal forgot it."""

    cursor: str
    time: float


class Journal:
    """Entries that match `match` (journalctl's words, `+` is or), heard by `filter_`.

    `folder` is a journal directory in place of this machine's.
    """

    def __init__(
        self,
        filter_: Filter,
        checkpoints: Path,
        *,
        jail_filter: str = "",
        match: str = "",
        folder: Path | None = None,
        clock: Clock = now,
    ) -> None:
        self.name = f"journal {jail_filter or filter_.name}"
        self.tally = Tally()
        self._filter, self._called = filter_, jail_filter or filter_.name
        self._words = match_words(match)
        self._folder, self._clock = folder, clock
        self._process: asyncio.subprocess.Process | None = None
        self._finished = False
        self._place: dict[str, Cursor] = {}
        digest = blake2b(f"{self._called}\0{match}\0{folder}".encode(), digest_size=8).hexdigest()
        self._checkpoint = Checkpoint(checkpoints / f"journal-{digest}.json", Cursor)

    async def batches(self) -> AsyncIterator[Sequence[Event]]:
        """New events; the cursor moves when the next batch is asked for."""
        place = self._checkpoint.load().get("")
        command = self._command(place)
        try:
            process = await asyncio.create_subprocess_exec(
                *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
            )
        except OSError as error:
            raise Refused(f"journalctl: {error.strerror}") from None
        self._process = process
        assert process.stdout is not None
        assert process.stderr is not None
        lines = Lines()
        try:
            while block := await process.stdout.read(_BLOCK):
                events, last = self._hear(lines.feed(block))
                if last is not None:
                    place = Cursor(last.cursor, last.time or self._clock())
                self._place = {} if place is None else {"": place}
                if events:
                    yield events
                if last is not None and place is not None:
                    await asyncio.to_thread(self._checkpoint.save, {"": place})
            if self._finished:
                return
            said = printable((await process.stderr.read(4096)).decode("utf-8", "replace").strip())
            if "cursor" in said and place is not None:
                # That part of the journal is gone: go on by time.
                self._checkpoint.save({"": Cursor("", place.time)})
            raise Unavailable(f"journalctl ended: {said or 'without a word'}")
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    @property
    def key(self) -> str:
        """The role's."""
        return self._checkpoint.key

    def resume(self, place: bytes | None) -> None:
        """The role's."""
        self._checkpoint.resume(place)

    def mark(self) -> bytes:
        """The role's."""
        return self._checkpoint.mark(self._place)

    def finish(self) -> None:
        """Lets `batches` end with its cursor saved, so that nothing is heard twice."""
        self._finished = True
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    def _command(self, place: Cursor | None) -> list[str]:
        # Without --merge, --follow means the entries since the last boot alone.
        command = ["journalctl", "--output=json", "--all", "--merge"]
        command += ["--follow", "--no-tail", "--quiet"]
        if self._folder is not None:
            command.append(f"--directory={self._folder}")
        if place is not None and place.cursor:
            command.append(f"--after-cursor={place.cursor}")
        else:
            since = self._clock() - LOOK_BACK if place is None else place.time
            command.append(f"--since=@{int(since)}")
        return [*command, "--", *self._words] if self._words else command

    def _hear(self, runs: Sequence[bytes | None]) -> tuple[list[Event], Entry | None]:
        """The events of whole lines of JSON, and the last entry there was."""
        events: list[Event] = []
        last: Entry | None = None
        for run in runs:
            for line in [None] if run is None else run.split(b"\n")[:-1]:
                self.tally.lines += 1
                entry = self._entry(line)
                if entry is None:
                    continue
                last = entry
                found = self._filter.match_text(entry.line, self._clock(), entry.time)
                if found is not None and found.address:
                    time = entry.time if entry.time is not None else found.time
                    events.append(
                        Rejection(time, found.address, None, 1, self._called, entry.cursor)
                    )
        return events, last

    def _entry(self, line: bytes | None) -> Entry | None:
        if line is None:
            self.tally.fault(TOO_LONG, self.name, self.tally.lines)
            return None
        try:
            return journal_entry(line)
        except ValueError:
            self.tally.fault(NO_RECORD, self.name, self.tally.lines)
            return None


def match_words(match: str) -> list[str]:
    """The words of a journalmatch, none of which can be an option. Raises Refused."""
    try:
        words = shlex.split(match)
    except ValueError as error:
        raise Refused(f"journalmatch {match!r}: {error}") from None
    for word in words:
        if not _MATCH.fullmatch(word):
            raise Refused(f"journalmatch {match!r}: {word!r} is neither FIELD=VALUE nor +")
    return words
