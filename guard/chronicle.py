"""Tells the operator's log and the event log of rejections, bans and un-bans.

An un-ban is told when the last claim on a network is gone: withdrawn, by another host of the fleet
too, or over. Used by the one thread that also owns the ledger.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Protocol

from guard.events import Claim, Ended, Event, Rejection
from guard.lib.durations import format_duration
from guard.lib.endings import Endings
from guard.lib.networks import Network
from guard.roles import Ledger

log = logging.getLogger("guard.bans")
AT_ONCE = 20_000  # told in a tick
MANY = 1000  # more are one line in the operator's log


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
        self._due: deque[Network] = deque()
        self._emptying = False
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

    @contextmanager
    def emptying(self) -> Iterator[None]:
        """While every claim ends, and `ended` is told of them piece by piece."""
        self._emptying = True
        try:
            yield
        finally:
            self._emptying = False

    def ended(self, piece: Ended, now: float) -> None:
        """Tells of networks that are free because all claims were ended."""
        networks = dict.fromkeys([claim.network for claim in piece.claims])
        held = piece.held
        self._tell([net for net in networks if net not in held] if held else [*networks], now)

    def tick(self, now: float) -> None:
        """Tells of networks whose last claim has ended by itself, or at another host's word.

        Some thousand at a time: when a million end at once nobody is to wait for all of them.
        """
        self._due += self._endings.due(now)
        if self._shared:
            self._cursor, touched = self._ledger.changes(self._cursor)
            self._due += self._endings.among(touched)
        if self._due and not self._emptying:
            some = dict.fromkeys(islice(self._due, AT_ONCE))
            self._free([net for net in some if net in self._endings], now)
            for _ in range(min(AT_ONCE, len(self._due))):
                self._due.popleft()

    def _free(self, networks: Iterable[Network], now: float) -> None:
        asked = list(networks)
        if len(asked) > MANY and not self._ledger.size(now):
            self._tell(asked, now)
        elif asked:
            pasts = self._ledger.past(asked, now)
            self._tell([n for n, past in zip(asked, pasts, strict=True) if not past.claims], now)

    def _tell(self, free: Sequence[Network], now: float) -> None:
        self._endings.forget(*free)
        if len(free) > MANY:
            log.warning("un-banned %d networks at once, as %s", len(free), free[0])
        for network in free if len(free) <= MANY else ():
            log.warning("un-banned %s", network)
        for listener in self._listeners:
            listener.unbanned(free, now)
