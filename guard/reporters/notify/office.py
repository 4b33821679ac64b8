"""Runs notifiers beside the ban path: one thread that writes down, and one for each that tells.

The end of the process waits for none of them: a receiver that hangs for an hour delays no ban, no
other receiver, and no stop. What it had not taken yet is on disk.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from guard.events import Claim, Event
from guard.lib.beside import Beside, Turn
from guard.lib.clock import Clock
from guard.lib.networks import Network
from guard.reporters.notify.notifier import Notifier
from guard.reporters.notify.values import FeedChange
from guard.roles import GuardError, Ledger

log = logging.getLogger("guard.notify")

SWEEP_EVERY = 30.0
AGAIN = 5.0  # after a fault of the disk
_KINDS_EVERY = 5.0


class Office:
    """All notifiers. The methods of a Told may be called by any one thread, and never wait."""

    def __init__(self, notifiers: Sequence[Notifier], clock: Clock) -> None:
        self._notifiers, self._clock = notifiers, clock
        self._kinds: Callable[[], Mapping[str, int]] = dict
        self._kept = self._turn("all", self._keep)
        turns = [self._turn(notifier.name, notifier.step) for notifier in notifiers]
        self._threads = Beside("notify", [self._kept, *turns] if turns else [], clock)

    def follow(self, kinds: Mapping[str, int]) -> None:
        """Where rejections are counted by kind since the start; digests tell them."""
        self._kinds = lambda: dict(kinds)

    def heard(self, events: Iterable[Event]) -> None:
        """Rejections are told as counts only."""

    def banned(self, claims: Iterable[Claim]) -> None:
        """Claims that were made."""
        told = list(claims)
        for notifier in self._notifiers:
            notifier.banned(told)
        self._threads.wake()

    def unbanned(self, networks: Iterable[Network], now: float) -> None:
        """Networks that nobody claims any more."""
        told = list(networks)
        for notifier in self._notifiers:
            notifier.unbanned(told, now)
        self._threads.wake()

    def list_changed(self, name: str, came: int, went: int) -> None:
        """A list was taken over into the ledger."""
        if came or went:
            for notifier in self._notifiers:
                notifier.list_changed(FeedChange(name, came, went))
            self._threads.wake()

    def rows(self) -> list[dict[str, Any]]:
        """A row for each, for status and metrics."""
        return [notifier.row() for notifier in self._notifiers]

    def sweep(self, ledger: Ledger) -> Callable[[float], Callable[[float], None] | None]:
        """A chore that finds bans which ended where nobody here was told of it.

        Another host of a fleet lifted them, or they ended while nothing ran.
        """

        def look(now: float) -> Callable[[float], None] | None:
            asked = list({net for one in self._notifiers for net in one.suspects(now)})

            def finish(then: float) -> None:
                pasts = ledger.past(asked, then)
                free = [net for net, past in zip(asked, pasts, strict=True) if not past.claims]
                if free:
                    self.unbanned(free, then)

            return finish if asked else None

        return look

    async def run(self) -> None:
        """Tells, until it is cancelled; whoever made this calls `stop` after that.

        Threads begin here and not when this is made: by then the process may still have privileges
        to lose, and a thread would keep them.
        """
        await self._threads.run()

    def stop(self) -> None:
        """Writes down what came last, and closes the books, whoever still waits for a receiver."""
        self._kept(self._clock())
        for notifier in self._notifiers:
            notifier.close()

    def _keep(self, now: float) -> float:
        """Writes down what came, and has it told at once."""
        kinds = self._kinds()
        came = False
        for notifier in self._notifiers:
            notifier.rejected(kinds)
            came |= notifier.keep()
        if came:
            self._threads.wake()
        return _KINDS_EVERY

    def _turn(self, name: str, work: Turn) -> Turn:
        """`work`, with what it cannot do said once and tried again later."""
        said = ""

        def turn(now: float) -> float:
            nonlocal said
            try:
                pause, said = work(now), ""
            except GuardError as error:
                if str(error) != said:
                    log.error("notify %s: %s", name, error)
                pause, said = AGAIN, str(error)
            return pause

        return turn
