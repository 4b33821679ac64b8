"""Runs notifiers beside the ban path: one thread that writes down, and one for each that tells.

Threads of our own, which the end of the process does not wait for: a receiver that hangs for an
hour delays no ban, no other receiver, and no stop. What it had not taken yet is on disk.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from guard.events import Claim, Event
from guard.lib.clock import Clock
from guard.lib.networks import Network
from guard.reporters.notify.notifier import IDLE, Notifier
from guard.reporters.notify.values import FeedChange
from guard.roles import GuardError, Ledger

log = logging.getLogger("guard.notify")

GRACE = 0.5  # seconds that the end waits for what is being told
SWEEP_EVERY = 30.0
_KINDS_EVERY = 5.0
_AGAIN = 5.0  # after a fault of the disk, or of ours


class Office:
    """All notifiers. The methods of a Told may be called by any one thread, and never wait."""

    def __init__(self, notifiers: Sequence[Notifier], clock: Clock) -> None:
        self._notifiers, self._clock = notifiers, clock
        self._came, self._stopping = threading.Event(), threading.Event()
        self._kinds: Callable[[], Mapping[str, int]] = dict
        self._threads: dict[str, threading.Thread] = {}

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
        self._came.set()

    def unbanned(self, networks: Iterable[Network], now: float) -> None:
        """Networks that nobody claims any more."""
        told = list(networks)
        for notifier in self._notifiers:
            notifier.unbanned(told, now)
        self._came.set()

    def list_changed(self, name: str, came: int, went: int) -> None:
        """A list was taken over into the ledger."""
        if came or went:
            for notifier in self._notifiers:
                notifier.list_changed(FeedChange(name, came, went))
            self._came.set()

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

    def start(self) -> None:
        """Begins."""
        self._begin("notify", self._note)
        for notifier in self._notifiers:
            self._begin(f"notify {notifier.name}", partial(self._tell, notifier))

    def stop(self) -> None:
        """Ends; writes down what came, and leaves whoever hangs to the end of the process."""
        self._stopping.set()
        self._came.set()
        deadline = time.monotonic() + GRACE
        for thread in self._threads.values():
            thread.join(max(0.0, deadline - time.monotonic()))
        if "notify" in self._threads and self._threads["notify"].is_alive():
            log.error("notify: the disk takes nothing; the last notices are lost")
            return
        try:
            self._keep()
        except GuardError as error:
            log.error("notify: %s", error)
        for notifier in self._notifiers:
            telling = self._threads.get(f"notify {notifier.name}")
            if telling is None or not telling.is_alive():
                notifier.close()

    def _begin(self, name: str, step: Callable[[], None]) -> None:
        thread = threading.Thread(target=self._repeat, args=(name, step), name=name, daemon=True)
        self._threads[name] = thread
        thread.start()

    def _note(self) -> None:
        """Writes down what came, and waits for more."""
        self._keep()
        self._came.wait(_KINDS_EVERY)
        self._came.clear()

    def _keep(self) -> None:
        kinds = self._kinds()
        for notifier in self._notifiers:
            notifier.rejected(kinds)
            notifier.keep()

    def _tell(self, notifier: Notifier) -> None:
        """Tells one thing, and waits until the next may be due."""
        self._stopping.wait(min(notifier.step(self._clock()), IDLE))

    def _repeat(self, name: str, step: Callable[[], None]) -> None:
        said = ""
        while not self._stopping.is_set():
            try:
                step()
                said = ""
                continue
            except GuardError as error:
                if str(error) != said:
                    log.error("%s: %s", name, error)
                said = str(error)
            except Exception:  # a fault of ours in one part must not end the others
                log.exception("%s failed", name)
            self._stopping.wait(_AGAIN)
