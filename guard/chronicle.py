"""Tells the operator's log and the event log of rejections, bans and un-bans.

An un-ban is told when the last claim on a network is gone: withdrawn, by another host of the fleet
too, or over. Used by the one thread that also owns the ledger.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

from guard.events import Claim, Event, Rejection
from guard.lib.durations import format_duration
from guard.lib.endings import Endings
from guard.lib.networks import Network
from guard.roles import Ledger

log = logging.getLogger("guard.bans")


class Told(Protocol):
    """Somebody who writes events down."""

    def heard(self, events: Iterable[Event]) -> None:
        """Events as they were counted."""
        ...

    def banned(self, claims: Iterable[Claim]) -> None:
        """Claims that were made."""
        ...

    def unbanned(self, networks: Iterable[Network], now: float) -> None:
        """Networks that nobody claims any more."""
        ...


class Chronicle:
    """What happens, told to `listeners` and to the log; `shared` is a ledger that others change."""

    def __init__(self, ledger: Ledger, listeners: Sequence[Told], *, shared: bool = False) -> None:
        self._ledger, self._listeners, self._shared = ledger, listeners, shared
        self._cursor = ""
        self._endings = Endings()
        self.kinds: Counter[str] = Counter()

    def open(self, now: float) -> None:
        """Learns which claims there are, so as to tell when they end."""
        if self._shared:
            self._cursor, _ = self._ledger.changes("")
        # A list ends a thousand claims at once; feeds say so in a line of their own.
        claims = (c for c in self._ledger.claims(now) if not c.source.startswith("feed:"))
        self._endings.extend((claim.network, claim.until) for claim in claims)

    def heard(self, events: Sequence[Event], claims: Sequence[Claim]) -> None:
        """Tells of events that were counted, and of the claims that came of them."""
        for event in events:
            if isinstance(event, Rejection):
                self.kinds[event.kind or "log_line"] += event.count
        for listener in self._listeners:
            listener.heard(events)
        self.banned(claims)

    def banned(self, claims: Sequence[Claim]) -> None:
        """Tells of new claims."""
        for claim in claims:
            length = None if claim.until is None else claim.until - claim.since
            how = "for ever" if length is None else f"for {format_duration(length)}"
            log.warning("banned %s %s: %s, %s", claim.network, how, claim.source, claim.reason)
            self._endings.add(claim.network, claim.until)
        for listener in self._listeners:
            listener.banned(claims)

    def withdrawn(self, claims: Sequence[Claim], now: float) -> None:
        """Tells of networks that are free because their claims were withdrawn."""
        self._free(dict.fromkeys(claim.network for claim in claims), now)

    def tick(self, now: float) -> None:
        """Tells of networks whose last claim has ended by itself, or at another host's word."""
        self._free(self._endings.due(now), now)
        if self._shared:
            self._cursor, touched = self._ledger.changes(self._cursor)
            self._free(self._endings.among(touched), now)

    def _free(self, networks: Iterable[Network], now: float) -> None:
        asked = list(networks)
        if not asked:
            return
        pasts = self._ledger.past(asked, now)
        free = [net for net, past in zip(asked, pasts, strict=True) if not past.claims]
        for network in free:
            self._endings.forget(network)
            log.warning("un-banned %s", network)
        for listener in self._listeners:
            listener.unbanned(free, now)
