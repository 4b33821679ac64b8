"""Guard's own event log: one line per rejection, ban and un-ban.

A line begins with fixed members and nothing that a peer wrote, so that any tool can anchor on it:
`{"timestamp":1757675281,"addr":"91.92.251.215","event":"relay_denied",...}`. filter.d/guard.conf
reads it. Integer seconds, ASCII, no peer's text anywhere in the line.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec.structs import replace

from guard.events import Claim, Event, Rejection
from guard.lib.clock import Clock
from guard.lib.collapse import Collapse
from guard.lib.linefile import LineFile
from guard.lib.networks import Network, parse_address

# No jail asks for more lines, and one record must not fill a disk.
APART = 1000
_encode = msgspec.json.Encoder().encode


def rejection_line(rejection: Rejection) -> bytes:
    """The line for one rejection, or for `count` equal ones."""
    event = rejection.kind.value if rejection.kind is not None else "log_line"
    return _line(rejection.time, parse_address(rejection.address), event, count=rejection.count)


def ban_line(claim: Claim) -> bytes:
    """The line for a claim that was made."""
    return _line(
        claim.since,
        claim.network,
        "ban",
        source=claim.source,
        reason=claim.reason,
        until=None if claim.until is None else int(claim.until),
    )


def unban_line(network: Network, now: float) -> bytes:
    """The line for a network that nobody claims any more."""
    return _line(now, network, "unban")


def _line(time: float, network: Network, event: str, **members: object) -> bytes:
    """`addr` is always one address; a block says its own in `network`."""
    whole = network.is_address
    addr = str(network if whole else network._replace(length=network.bits))
    if not whole:
        members = {"network": str(network), **members}
    every = {"timestamp": int(time), "addr": addr, "event": event, **members}
    text = _encode(every)
    if not text.isascii():  # an operator's words
        text = json.dumps(every, separators=(",", ":")).encode("ascii")
    return text + b"\n"


class EventLog(LineFile):
    """Appends event lines to `path`. Used by one thread.

    Equal rejections of one address within `collapse` seconds are one line, and then one with
    their count when that time is over: `flush` is to be called now and then. 0 is a line each, for
    those who count lines; of more than APART that came as one the rest is one line.
    """

    def __init__(self, path: Path, clock: Clock, *, collapse: float = 0.0) -> None:
        super().__init__(path, clock)
        self._apart = not collapse
        self._runs: Collapse[tuple[str, object, str], Rejection] = Collapse(collapse)

    def heard(self, events: Iterable[Event]) -> None:
        """Writes the rejections among `events`."""
        now = self._clock()
        for event in events:
            if isinstance(event, Rejection):
                key = (event.address, event.kind, event.filter)
                self._tell(self._runs.see(key, event, event.count, now))

    def flush(self, now: float) -> None:
        """Writes the counts whose time is over."""
        self._tell(self._runs.due(now))

    def close(self) -> None:
        """Writes what was counted and not yet written, and lets go of the file."""
        self._tell(self._runs.rest())
        super().close()

    def _tell(self, told: list[tuple[Rejection, int]]) -> None:
        if told:
            self.append(b"".join(self._lines(rejection, count) for rejection, count in told))

    def _lines(self, rejection: Rejection, count: int) -> bytes:
        """One line; with collapsing off one for each, as equal ones may have come together."""
        apart = min(count, APART) if self._apart else 0
        lines = rejection_line(replace(rejection, count=1)) * apart
        if count > apart:
            lines += rejection_line(replace(rejection, count=count - apart))
        return lines

    def banned(self, claims: Iterable[Claim]) -> None:
        """Writes claims that were made."""
        if lines := b"".join(map(ban_line, claims)):
            self.append(lines)

    def unbanned(self, networks: Iterable[Network], now: float) -> None:
        """Writes networks that are free again."""
        if lines := b"".join([unban_line(network, now) for network in networks]):
            self.append(lines)
