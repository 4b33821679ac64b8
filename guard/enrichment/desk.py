"""One service and all that is asked of it: who waits, what is known, when to leave it alone.

    a jail's rejection -> `notice` -> waiting, worst first -> `step` -> memory -> `score`
    guard explain      -> `question` -> before all others -> `step` -> its answer

`notice` and `score` are called where rejections are counted: they wait for nothing. `step` asks,
in a thread of its own, and is all that waits for the service.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol

from guard.enrichment.allowance import Allowance, Spent
from guard.enrichment.answers import LookUpFailed
from guard.enrichment.memory import Held, Memory
from guard.enrichment.waiting import Waiter, Waiting
from guard.events import Opinion
from guard.lib.networks import Network
from guard.roles import Enricher, GuardError, Unavailable

log = logging.getLogger("guard.check")

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 600.0
IDLE = 60.0  # seconds after which what has aged is looked at

Key = Callable[[Network], Network]


class Rationed(Enricher, Protocol):
    """A service with a quota."""

    allowance: Allowance


class Desk:
    """`enricher` with its `memory`.

    `key` gives the network that an address is counted under, `unasked` says of whom not to ask by
    itself, `vetoed` is told of every change of `vetoes`.
    """

    def __init__(
        self,
        enricher: Rationed,
        memory: Memory,
        *,
        key: Key = lambda network: network,
        unasked: Callable[[Network], str | None] = lambda network: None,
        vetoed: Callable[[], object] = lambda: None,
    ) -> None:
        self.name, self._enricher, self.memory = enricher.name, enricher, memory
        self._key, self._unasked, self._vetoed = key, unasked, vetoed
        self.waiting = Waiting()
        self.work = threading.Event()
        self._asked: deque[tuple[Network, Future[Held]]] = deque()
        self._scores: dict[Network, tuple[int, float]] = {}
        self._vetoes: dict[Network, tuple[str, float]] = {}
        self._rest = self._pause_until = self._saved = float("-inf")
        self._pause = FIRST_PAUSE
        self._left: int | None = None  # as of the last question
        self.answered = self.failed = 0
        self.error = ""

    def open(self, now: float) -> None:
        """Takes up what was known before a restart."""
        self.memory.load(now)
        for network, held in self.memory.items():
            self._take_up(network, held)

    # Where rejections are counted -----------------------------------------------------------------

    def score(self, network: Network, time: float) -> int | None:
        """The score of a counted network; -1 where there is none, None where nobody asked yet."""
        held = self._scores.get(network)
        return held[0] if held is not None and time < held[1] else None

    def notice(self, network: Network, rejections: int, address: Network | None = None) -> None:
        """Has a counted network asked for soon, by `address` where that is not itself."""
        if self.waiting.add(Waiter(network, rejections, address or network)):
            self.work.set()

    # By hand --------------------------------------------------------------------------------------

    def question(self, network: Network, now: float) -> Future[Held]:
        """An answer soon, or at once where it is known. Its exceptions are GuardErrors."""
        future: Future[Held] = Future()
        held = self.memory.find(network, now)
        if held is not None:
            future.set_result(held)
        elif now < self._rest:
            future.set_exception(Unavailable(self.error))
        else:
            self._asked.append((network, future))
            self.work.set()
        return future

    # In its own thread ----------------------------------------------------------------------------

    def step(self, now: float) -> float:
        """Asks one question, if there is one; seconds until there may be another."""
        self.work.clear()
        if self._asked:
            network, future = self._asked.popleft()
            if future.set_running_or_notify_cancel():
                self._by_hand(network, future, now)
            return 0.0
        self._age(now)
        if (rest := max(self._rest, self._pause_until) - now) > 0:
            return min(rest, IDLE)
        if not len(self.waiting):
            return IDLE
        return self._by_itself(now)

    def _by_hand(self, network: Network, future: Future[Held], now: float) -> None:
        try:
            future.set_result(self._look_up(network, now))
        except GuardError as error:
            self._note(error, now)
            future.set_exception(error)

    def _by_itself(self, now: float) -> float:
        """Asks about the worst who waits, when a question can be spared; seconds to wait then."""
        worst: Waiter | None = None
        try:
            if (wait := self._enricher.allowance.spare(now)) > 0:
                return min(wait, IDLE)
            worst = self.waiting.worst()
            if worst is None or not worst.address.is_address or self._unasked(worst.address):
                return 0.0
            self._look_up(worst.address, now)
        except GuardError as error:
            self._note(error, now)
            if worst is not None:
                self.waiting.add(worst)
        return 0.0

    def _look_up(self, network: Network, now: float) -> Held:
        try:
            held = Held(now, self._enricher.look_up(network, now))
        finally:
            self._count_left(now)
        self.answered += 1
        if self.error:
            log.info("%s answers again", self.name)
        self.error, self._pause = "", FIRST_PAUSE
        for displaced in self.memory.put(network, held):
            self._scores.pop(self._key(displaced), None)
            self._vetoes.pop(displaced, None)
        if self._take_up(network, held):
            self.memory.save()  # for the commands that work beside a daemon
            self._vetoed()
        return held

    def _take_up(self, network: Network, held: Held) -> bool:
        """Makes an answer count; whether that changes the vetoes."""
        if not network.is_address:
            return False
        opinion, until = held.opinion, self.memory.until(held)
        score = -1 if opinion is None or opinion.score is None else opinion.score
        self._scores[self._key(network)] = score, until
        before = self._vetoes.pop(network, None)
        if opinion is not None and opinion.veto:
            self._vetoes[network] = said(opinion), until
        return (before is None) is (network in self._vetoes)

    def _note(self, error: GuardError, now: float) -> None:
        """Leaves a service alone that asks for it, and for a while one that does not answer."""
        if isinstance(error, Spent) or not isinstance(error, Unavailable):
            return
        self.failed += 1
        if str(error) != self.error:
            log.warning("%s", error)
        self.error = str(error)
        wait = error.wait if isinstance(error, LookUpFailed) else 0.0
        self._rest = max(self._rest, now + wait) if wait else self._rest
        self._pause_until = now + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _age(self, now: float) -> None:
        """Asks again for vetoes that are old; one that nobody confirms holds twice its time."""
        if self._saved <= now < self._saved + IDLE:
            return
        self._saved = now
        self._count_left(now)
        self.memory.save()
        gone = False
        for address, (_, until) in list(self._vetoes.items()):
            if now >= until + self.memory.ttl:
                del self._vetoes[address]
                gone = True
            elif now >= until:
                self.notice(self._key(address), 1, address)
        if gone:
            self._vetoed()

    def _count_left(self, now: float) -> None:
        try:
            self._left = self._enricher.allowance.left(now)
        except GuardError:
            self._left = None

    def vetoes(self) -> list[tuple[Network, str]]:
        """Who must not be blocked, and why."""
        return sorted((address, why) for address, (why, _) in list(self._vetoes.items()))

    def brief(self, now: float) -> dict[str, Any]:
        """A row for `guard status`. Asks nobody."""
        rests = max(self._rest, self._pause_until) - now
        return {
            "name": self.name,
            "known": len(self.memory),
            "waiting": len(self.waiting),
            "answered": self.answered,
            "failed": self.failed,
            "left today": self._left,
            "of": self._enricher.allowance.per_day,
            "vetoes": len(self._vetoes),
            "rests": max(0, round(rests)) if rests > 0 else 0,
            "error": self.error,
        }


def remembered_vetoes(memory: Memory) -> list[tuple[Network, str]]:
    """Who must not be blocked, and why, for whoever only reads the memory."""
    known = memory.items()
    return [(n, said(h.opinion)) for n, h in known if h.opinion is not None and h.opinion.veto]


def said(opinion: Opinion) -> str:
    """A veto as protection shows it."""
    name = opinion.facts.get("name", "")
    return f"{opinion.name}: {opinion.verdict}" + (f", {name}" if name else "")
