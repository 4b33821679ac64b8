"""The account of deliveries: what became of recipients is recorded, and made durable.

For each message, in this order: the records; the bounce to its sender, if one is due; the new
state, or the removal. A kill between two of these repeats a record, never loses mail, and repeats
no bounce under another id. Knows nothing of queues and connections.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from guard.lib.clock import Clock
from guard.mail.client import Timeouts
from guard.mail.content import PIECE, facts
from guard.mail.deliveryrecords import Outcome, kind, record
from guard.mail.dsn import Bounce, Failure, bounce_id, is_bounce, write
from guard.mail.policy import Policies
from guard.mail.resolver import Resolver
from guard.mail.spool import FileSpool
from guard.mail.ticket import Ticket, Verdict
from guard.mail.waiting import Gone, Message, Waiting
from guard.relay.domain import domain_of
from guard.roles import Sink, Unavailable

log = logging.getLogger("guard.delivery")
T = TypeVar("T")

_AGAIN = 5.0  # how long to wait for a disk that fails

Step = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What delivery is given beside its spool and settings. The defaults are those of a daemon.

    `step` is told each step of the account; tests end the process there.
    """

    sink: Sink
    resolver: Resolver
    clock: Clock
    nodeid: str
    timeouts: Timeouts = Timeouts()
    chance: Callable[[], float] = random.random
    step: Step = lambda _: None


class InThread(Protocol):
    """Runs something that blocks where it may."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]:
        """What `work` returns or raises."""
        ...


@dataclass(frozen=True, kw_only=True)
class Account:
    """See the module. `hostname` None sends no bounces; `counts` has the records by type."""

    spool: FileSpool
    waiting: Waiting
    around: Surroundings
    hostname: str | None
    in_thread: InThread
    counts: Counter[str]

    async def settle(
        self, ticket: Ticket, site: str, outcomes: Mapping[str, Outcome], policies: Policies
    ) -> Verdict | None:
        """Writes down the outcomes of one job; at the last of a message returns its end."""
        message, step = ticket.message, self.around.step
        step("answered")
        served = ticket.note(outcomes)
        for address, outcome in outcomes.items():
            self.record(kind(outcome), message, {address: outcome}, site, policies)
        last = not ticket.open_jobs
        async with ticket.writing:
            if last:
                return await self._close(ticket, policies)
            if served:
                state = ticket.interim()
                await self._durably(lambda: self.waiting.save(message.envelope.id, state))
                step("interim")
        return None

    def record(
        self,
        type_: str,
        message: Message,
        outcomes: Mapping[str, Outcome],
        site: str,
        policies: Policies,
    ) -> None:
        """One record for each of `outcomes`."""
        for address, outcome in outcomes.items():
            self.counts[type_] += 1
            self.around.sink.put(
                record(
                    type_,
                    message,
                    address,
                    outcome,
                    queue=policies.queue_name(domain_of(address)),
                    site=site,
                    now=self.around.clock(),
                    nodeid=self.around.nodeid,
                )
            )

    async def _close(self, ticket: Ticket, policies: Policies) -> Verdict:
        """The end of an attempt."""
        message, now, step = ticket.message, self.around.clock(), self.around.step
        id_ = message.envelope.id
        schedule = policies.of(domain_of(message.left[0])).schedule
        verdict = ticket.close(schedule, now, self.around.chance())
        self.record("Expiration", message, verdict.expired, "", policies)
        if verdict.failures and message.envelope.sender and self.hostname:
            text = self._bounce(message, verdict.failures, now, self.hostname)
            await self._durably(text)
            step("bounce")
        state = verdict.state
        if state is None:
            await self._durably(lambda: self.waiting.remove(id_))
            step("removed")
        else:
            await self._durably(lambda: self.waiting.save(id_, state))
            step("deferred")
        return verdict

    def _bounce(
        self, message: Message, failures: Sequence[Failure], now: float, hostname: str
    ) -> Callable[[], None]:
        """What spools the bounce to the sender, unless the message is one itself."""
        id_ = bounce_id(message.envelope.id, message.state.attempts)

        def spool() -> None:
            with self.waiting.body(message) as file:
                head = facts([file.read(PIECE)]).head
            if is_bounce(head):
                return
            bounce = Bounce(
                id=id_,
                hostname=hostname,
                sender=message.envelope.sender,
                created=message.envelope.created,
                now=now,
                failures=failures,
                head=head,
            )
            meta = {"bounce_of": message.envelope.id}
            incoming = self.spool.create("", [message.envelope.sender], meta, id_=id_)
            try:
                incoming.write(write(bounce))
                incoming.commit()
            finally:
                incoming.abort()

        return spool

    async def _durably(self, work: Callable[[], Any]) -> None:
        """Does `work`, however long the disk fails: what was delivered must not be forgotten."""
        said = ""
        while True:
            try:
                await self.in_thread(work)
            except Gone:
                return
            except Unavailable as error:
                if str(error) != said:
                    log.error("%s; trying again", error)
                said = str(error)
                await asyncio.sleep(_AGAIN)
            else:
                return
