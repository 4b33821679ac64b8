"""Guard's own event log: one line per rejection, ban and un-ban.

A line begins with fixed members and nothing that a peer wrote, so that any tool can anchor on it:
`{"timestamp":1757675281,"addr":"91.92.251.215","event":"relay_denied",...}`. filter.d/guard.conf
reads it. Integer seconds, ASCII, no peer's text anywhere in the line.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from guard.events import Claim, Event, Rejection
from guard.lib.linefile import LineFile
from guard.lib.networks import Network, parse_address


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
    first = {"timestamp": int(time), "addr": str(network._replace(length=network.bits))}
    if not network.is_address:
        members = {"network": str(network), **members}
    text = json.dumps({**first, "event": event, **members}, separators=(",", ":"))
    return text.encode("ascii") + b"\n"


class EventLog(LineFile):
    """Appends event lines to `path`. Used by one thread."""

    def heard(self, events: Iterable[Event]) -> None:
        """Writes the rejections among `events`."""
        if lines := b"".join(rejection_line(e) for e in events if isinstance(e, Rejection)):
            self.append(lines)

    def banned(self, claims: Iterable[Claim]) -> None:
        """Writes claims that were made."""
        if lines := b"".join(map(ban_line, claims)):
            self.append(lines)

    def unbanned(self, networks: Iterable[Network], now: float) -> None:
        """Writes networks that are free again."""
        if lines := b"".join(unban_line(network, now) for network in networks):
            self.append(lines)
