"""The queue runner: takes what waits in the spool to where it goes, and keeps account of it.

    spool -> agenda (what is due) -> sites (route and policy) -> workers -> outcomes -> spool

Holds the spool's lock, so that of several processes one delivers. A message is whole on disk until
the last of its recipients is served, refused or given up; what is known of its delivery is on disk
before anything else is done with it, so that a kill at any moment repeats no more than what was in
flight. In memory are ids, and the messages that sites have room for.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TypeVar

from guard.mail.account import Account, Surroundings
from guard.mail.agenda import Agenda
from guard.mail.content import PIECE, Opened, facts
from guard.mail.deliveryrecords import Outcome
from guard.mail.policy import Policies, route_of
from guard.mail.replies import Undeliverable, failure
from guard.mail.resolver import Mx
from guard.mail.settings import DeliverySettings, QueueSettings
from guard.mail.site import Job, Shared, Site
from guard.mail.spool import FileSpool
from guard.mail.terms import TermsMaker
from guard.mail.ticket import Ticket
from guard.mail.waiting import Damaged, Gone, Message, Verb, Waiting
from guard.mail.worker import Worker
from guard.relay.domain import domain_of
from guard.roles import GuardError, Unavailable

__all__ = ["Deliverer", "Status", "Surroundings"]

log = logging.getLogger("guard.delivery")
T = TypeVar("T")

_TICK = 0.2
_TURN = 1.0  # how often it is tried to take over from another process
_AGAIN = 5.0  # how long to wait for a disk that fails
_MOST_OPEN = 5000
_THREADS = 8


@dataclass(frozen=True, slots=True)
class Status:
    """What an operator and a graph want to know. Ages are seconds, counts are of this process."""

    waiting: int
    oldest: float
    open: int
    destinations: int
    delivered: int
    deferred: int
    bounced: int


class Deliverer:
    """Delivers what is in `spool`. `run` ends after `finish`, or when it is cancelled."""

    def __init__(
        self,
        spool: FileSpool,
        settings: DeliverySettings,
        queues: Mapping[str, QueueSettings],
        around: Surroundings,
    ) -> None:
        self._spool, self._settings, self._around = spool, settings, around
        hostname = settings.hostname or socket.gethostname()
        self._waiting = Waiting(spool.folder)
        self._policies = Policies(queues)
        self._agenda = Agenda()
        self._sites: dict[object, Site] = {}
        self._finishing = asyncio.Event()
        self._shared = Shared(
            resolver=around.resolver,
            terms=TermsMaker(hostname, around.timeouts),
            slots=asyncio.Semaphore(settings.connections),
            clock=around.clock,
            shuffle=self._shuffle,
            read=self._in_thread,
        )
        self._account = Account(
            spool=spool,
            waiting=self._waiting,
            around=around,
            hostname=hostname if settings.bounces else None,
            in_thread=self._in_thread,
            counts=Counter(),
        )

    def finish(self) -> None:
        """Begins no more transactions; `run` ends when those under way have."""
        self._finishing.set()
        for site in self._sites.values():
            site.finish()

    def reconfigure(self, queues: Mapping[str, QueueSettings]) -> None:
        """Other ways for the attempts that begin from now on."""
        self._policies = Policies(queues)
        self._shared.terms.forget()

    def status(self) -> Status:
        """A look at the queue."""
        now, agenda, counts = self._around.clock(), self._agenda, self._account.counts
        return Status(
            waiting=len(agenda),
            oldest=agenda.oldest(now),
            open=agenda.open,
            destinations=len(self._sites),
            delivered=counts["Delivery"],
            deferred=counts["TransientFailure"],
            bounced=counts["Bounce"],
        )

    def tell(self) -> dict[str, int]:
        """The status as whole numbers, for `guard status`."""
        return {name: int(value) for name, value in asdict(self.status()).items()}

    async def run(self) -> None:
        """Delivers. Raises Refused when the spool's folders cannot be made."""
        self._threads = ThreadPoolExecutor(_THREADS, "delivery")
        try:
            self._spool.open()
            self._waiting.open()
            said = False
            while not self._finishing.is_set():
                with self._waiting.lock() as mine:
                    if mine:
                        await self._hold()
                        return
                if not said:
                    log.info("another process delivers; standing by")
                    said = True
                await self._pause(_TURN)
        finally:
            self._threads.shutdown(wait=True)

    async def _hold(self) -> None:
        """Delivers, with the lock."""
        self._agenda, self._sites, first = Agenda(), {}, True
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            self._group = group
            while not self._finishing.is_set():
                began = loop.time()
                try:
                    await self._look(tidy=first)
                    first = False
                    self._sweep()
                    self._begin()
                    # A large spool takes longer to list, and is listed less often.
                    pause = max(_TICK, 20 * (loop.time() - began))
                except Unavailable as error:
                    log.error("%s", error)
                    pause = _AGAIN
                await self._pause(pause)

    async def _look(self, *, tidy: bool) -> None:
        """Hears wishes, and of messages that came."""
        for verb, id_ in await self._in_thread(self._waiting.asked):
            await self._wish(verb, id_)
        stamp = await self._in_thread(self._waiting.changed)
        if self._agenda.seen(stamp):
            return
        ids = await self._in_thread(self._waiting.ids)
        self._agenda.update(ids, stamp, self._around.clock())
        if tidy:
            await self._in_thread(lambda: self._waiting.tidy(set(ids)))

    async def _wish(self, verb: Verb, id_: str) -> None:
        if self._agenda.is_open(id_):
            # It is under way; afterwards it is either gone or can be changed.
            await self._in_thread(lambda: self._waiting.ask(verb, id_))
            return
        try:
            if verb == "drop":
                message = await self._in_thread(lambda: self._waiting.load(id_))
                said = Outcome(failure(551, (5, 7, 1), "dropped by the operator"))
                outcomes = dict.fromkeys(message.left, said)
                self._account.record("AdminBounce", message, outcomes, "", self._policies)
            await self._in_thread(lambda: self._waiting.apply(verb, id_))
        except (Gone, Damaged) as error:
            log.info("%s: %s", verb, error)
            return
        self._agenda.schedule(id_, 0.0)

    def _begin(self) -> None:
        """Opens what is due, as far as there is room."""
        now = self._around.clock()
        if self._finishing.is_set():
            return
        while self._agenda.open < _MOST_OPEN and (id_ := self._agenda.pop(now)) is not None:
            self._group.create_task(self._open(id_))

    def _sweep(self) -> None:
        """Fills sites that have room again, and forgets those that have nothing to do."""
        for key, site in list(self._sites.items()):
            self._unpark(site, site.room)
            if site.empty:
                del self._sites[key]

    async def _open(self, id_: str) -> None:
        """Reads one message and hands it to its sites."""
        try:
            message = await self._in_thread(lambda: self._waiting.load(id_))
        except Gone:
            self._agenda.forget(id_)
            return
        except Damaged as error:
            log.error("%s", error)
            self._agenda.forget(id_)
            return
        except Unavailable as error:
            log.error("%s", error)
            self._agenda.schedule(id_, self._around.clock() + _AGAIN)
            return
        state = message.state
        if state.held:
            self._agenda.schedule(id_, float("inf"))
        elif state.due > self._around.clock():
            self._agenda.schedule(id_, state.due)
        else:
            await self._hand_over(message)

    async def _hand_over(self, message: Message) -> None:
        parts, lost = self._parts(message)
        full = next((site for site in parts if not site.room), None)
        if self._finishing.is_set():
            return
        if full is not None:
            self._agenda.park(message.envelope.id)
            full.parked.append(message.envelope.id)
            return
        ticket = Ticket(message, len(parts) + bool(lost))
        for site, recipients in parts.items():
            site.put(self._job(ticket, site, recipients))
        if lost:
            await self._settle(ticket, None, lost)

    def _parts(self, message: Message) -> tuple[dict[Site, list[str]], dict[str, Outcome]]:
        """The recipients of each site, and those who have none."""
        parts: dict[Site, list[str]] = {}
        lost: dict[str, Outcome] = {}
        for address in message.left:
            domain = domain_of(address)
            policy = self._policies.of(domain)
            try:
                route = route_of(domain, policy)
            except ValueError:
                said = failure(550, (5, 1, 2), f"there is no way to {domain or 'no domain'}")
                lost[address] = Outcome(said)
                continue
            site = self._sites.get((route, policy))
            if site is None:
                site = self._sites[route, policy] = Site(route, policy, self._shared, self._start)
            parts.setdefault(site, []).append(address)
        return parts, lost

    def _start(self, site: Site) -> None:
        self._group.create_task(Worker(site).run())

    def _job(self, ticket: Ticket, site: Site, recipients: Sequence[str]) -> Job:
        message = ticket.message

        async def opened() -> Opened:
            try:
                return await self._in_thread(lambda: self._read(message))
            except GuardError as error:
                log.error("message %s: %s", message.envelope.id, error)
                said = failure(451, (4, 3, 0), "the message cannot be read now")
                raise Undeliverable(said) from error

        async def done(outcomes: dict[str, Outcome]) -> None:
            await self._settle(ticket, site, outcomes)

        envelope = message.envelope
        smtputf8 = "smtputf8" in envelope.meta
        return Job(envelope.sender, recipients, message.size, smtputf8, opened, done)

    def _read(self, message: Message) -> Opened:
        file = self._waiting.body(message)
        return Opened(file, message.offset, facts(iter(lambda: file.read(PIECE), b"")))

    async def _settle(
        self, ticket: Ticket, site: Site | None, outcomes: dict[str, Outcome]
    ) -> None:
        """Has one job written down, and at the last of a message plans what comes next."""
        name = str(site.route) if site else ""
        verdict = await self._account.settle(ticket, name, outcomes, self._policies)
        id_ = ticket.message.envelope.id
        if verdict is not None and verdict.state is None:
            self._agenda.forget(id_)
        elif verdict is not None and verdict.state is not None:
            self._agenda.schedule(id_, verdict.state.due)
        if site is not None and site.parked:
            self._unpark(site, 1)
            self._begin()

    def _unpark(self, site: Site, most: int) -> None:
        """Has messages opened again for which `site` had no room."""
        for _ in range(min(most, len(site.parked))):
            self._agenda.schedule(site.parked.popleft(), 0.0)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._finishing.wait()
        except TimeoutError:
            pass

    def _shuffle(self, records: Sequence[Mx]) -> Sequence[Mx]:
        return sorted(records, key=lambda _: self._around.chance())
