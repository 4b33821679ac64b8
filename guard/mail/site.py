"""One destination: its queue of jobs, and how many workers may serve it.

A site is a route and a policy. Workers (worker.py) come as jobs come, up to the policy's number
of connections, and go when nothing more comes. When no host of the site can be reached, what is
queued fails with it for a while, instead of waiting out a timeout per message. Knows nothing of
files and schedules: whoever gives it a job is told what became of it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from guard.lib.clock import Clock
from guard.mail.content import Opened
from guard.mail.deliveryrecords import Outcome
from guard.mail.policy import Policy
from guard.mail.replies import Undeliverable
from guard.mail.resolver import Host, Resolver, Shuffle
from guard.mail.routing import Route
from guard.mail.terms import TermsMaker

_LONGEST_DOWN = 10.0
_LONGEST_BAD = 60.0


@dataclass(frozen=True, slots=True)
class Job:
    """Recipients of one message that one site serves. `opened` gives its bytes.

    `smtputf8` is whether the message came to us with that word.
    """

    sender: str
    recipients: Sequence[str]
    size: int
    smtputf8: bool
    opened: Callable[[], Awaitable[Opened]]
    done: Callable[[dict[str, Outcome]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Shared:
    """What all sites use. `slots` are connections to anywhere; `read` runs where it may block."""

    resolver: Resolver
    terms: TermsMaker
    slots: asyncio.Semaphore
    clock: Clock
    shuffle: Shuffle
    read: Callable[[Callable[[], bytes]], Awaitable[bytes]]


@dataclass(eq=False)
class Site:
    """See the module. `parked` are the ids of messages for which the queue had no room."""

    route: Route
    policy: Policy
    shared: Shared
    start: Callable[[Site], None]
    parked: deque[str] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._jobs: asyncio.Queue[Job | None] = asyncio.Queue()
        self._workers = self._idle = 0
        self._down: tuple[float, Undeliverable] | None = None
        self._slot = float("-inf")
        self._bad: dict[str, float] = {}

    @property
    def room(self) -> int:
        """How many more jobs are of use; beyond that they would only wait in memory."""
        return max(0, 2 * self.policy.connections - self._jobs.qsize())

    @property
    def empty(self) -> bool:
        """Whether nothing keeps this site from being forgotten."""
        return not self._workers and not self.parked and self._jobs.empty()

    def put(self, job: Job) -> None:
        """Queues `job`, and has a worker started where one more is of use."""
        self._jobs.put_nowait(job)
        if self._idle < self._jobs.qsize() and self._workers < self.policy.connections:
            self._workers += 1
            self.start(self)

    async def next(self, patience: float) -> Job | None:
        """A job for a worker; None tells it to go."""
        self._idle += 1
        try:
            async with asyncio.timeout(patience):
                return await self._jobs.get()
        except TimeoutError:
            # A job may have come at the very moment at which patience ended; whoever put it
            # counted on this worker.
            return None if self._jobs.empty() else self._jobs.get_nowait()
        finally:
            self._idle -= 1

    def gone(self) -> None:
        """A worker went."""
        self._workers -= 1

    def finish(self) -> None:
        """Lets what is being sent end, and nothing else begin."""
        with suppress(asyncio.QueueEmpty):
            while True:
                self._jobs.get_nowait()
        for _ in range(self._workers):
            self._jobs.put_nowait(None)

    async def admit(self) -> None:
        """Waits until the rate allows one more transaction."""
        if (rate := self.policy.rate) is not None:
            now = self.shared.clock()
            self._slot = rate.slot(self._slot, now)
            await asyncio.sleep(self._slot - now)

    def bad(self, host: Host) -> None:
        """`host` could not be reached."""
        self._bad[host.address] = self.shared.clock() + _LONGEST_BAD

    def order(self, found: Sequence[Host]) -> list[Host]:
        """`found`, those last that could not be reached a moment ago."""
        now = self.shared.clock()
        self._bad = {address: until for address, until in self._bad.items() if until > now}
        return sorted(found, key=lambda host: host.address in self._bad)

    def down(self, error: Undeliverable) -> None:
        """Nobody could be reached, for this reason."""
        pause = min(_LONGEST_DOWN, self.policy.schedule.interval / 2)
        self._down = (self.shared.clock() + pause, error)

    def check(self) -> None:
        """Raises what `down` was told a moment ago."""
        if self._down is not None:
            until, error = self._down
            if self.shared.clock() < until:
                raise Undeliverable(error.response)
            self._down = None
