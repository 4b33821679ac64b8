"""Serves the jobs of one site over one connection, message after message."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import BinaryIO

from guard.mail.client import Connection, connect
from guard.mail.content import PIECE, Facts, Mail, Opened
from guard.mail.deliveryrecords import Outcome
from guard.mail.replies import Undeliverable, failure
from guard.mail.resolver import hosts
from guard.mail.site import Job, Shared, Site
from guard.records import Response

log = logging.getLogger("guard.delivery")

_MOST_RECIPIENTS = 100  # RFC 5321, 4.5.3.1.8: every server takes so many
_MOST_HOPS = 50
_PATIENCE = 2.0  # seconds that a connection waits for the next message
_FAULT = failure(451, (4, 3, 0), "fault in Guard, see the log")


class Worker:
    """One worker of `site`. `run` ends when nothing more comes."""

    def __init__(self, site: Site) -> None:
        self._site, self._shared = site, site.shared
        self._connection: Connection | None = None

    async def run(self) -> None:
        """Works, and hangs up."""
        try:
            while (job := await self._site.next(_PATIENCE)) is not None:
                await self._serve(job)
        except asyncio.CancelledError:
            if self._connection is not None:
                self._connection.close()  # no time for a goodbye
            raise
        finally:
            self._site.gone()
            await self._hang_up()

    async def _serve(self, job: Job) -> None:
        """Does `job` and tells what became of every recipient."""
        outcomes: dict[str, Outcome] = {}
        try:
            await self._deliver(job, outcomes)
        except Undeliverable as error:
            self._note(outcomes, job.recipients, error.response)
        except Exception:  # a fault of ours with one message must not end all delivery
            log.exception("a message could not be delivered")
            await self._hang_up()
            self._note(outcomes, job.recipients, _FAULT)
        await job.done(outcomes)

    async def _deliver(self, job: Job, outcomes: dict[str, Outcome]) -> None:
        opened = await job.opened()
        with opened.file:
            _check_hops(opened.facts)
            left = list(job.recipients)
            while left:
                some = left[:_MOST_RECIPIENTS]
                mail = Mail(job.sender, some, job.size, opened.facts, job.smtputf8)
                for address, response in (await self._send(mail, opened)).items():
                    self._note(outcomes, [address], response)
                left = [address for address in left if address not in outcomes]

    async def _send(self, mail: Mail, opened: Opened) -> dict[str, Response]:
        """One transaction; again on a fresh connection when a used one turns out to be dead."""
        await self._site.admit()
        connection = await self._ready()
        used = connection.transactions > 0
        try:
            return await connection.send(mail, Pieces(opened, self._shared))
        except Undeliverable as error:
            # A server that hung up between messages has heard nothing of this one; where it gave
            # a reply of its own, that is the answer.
            if not used or connection.usable or error.response.command is not None:
                raise
        connection = await self._ready()
        return await connection.send(mail, Pieces(opened, self._shared))

    async def _ready(self) -> Connection:
        """A connection for one more transaction. Raises Undeliverable."""
        connection = self._connection
        if connection is not None:
            most = self._site.policy.messages_per_connection
            if connection.usable and connection.transactions < most:
                return connection
            await self._hang_up()
        self._site.check()
        await self._shared.slots.acquire()
        try:
            self._connection = await self._connect()
        except BaseException as error:
            self._shared.slots.release()
            if isinstance(error, Undeliverable):
                log.info("%s cannot be reached: %s", self._site.route, error)
                self._site.down(error)
            raise
        return self._connection

    async def _connect(self) -> Connection:
        """The first host that takes us. Raises Undeliverable with what the last one said."""
        policy, shared = self._site.policy, self._shared
        terms = shared.terms.of(policy)
        route, prohibited = self._site.route, policy.prohibited_hosts
        found = await hosts(route, shared.resolver, prohibited, shared.shuffle)
        *others, last = self._site.order(found)
        for host in others:
            try:
                return await connect(host, terms)
            except Undeliverable as error:
                self._site.bad(host)
                log.info("%s (%s): %s", host.name, host.address, error)
        return await connect(last, terms)

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.quit()
            finally:
                self._shared.slots.release()

    def _note(
        self, outcomes: dict[str, Outcome], addresses: Iterable[str], response: Response
    ) -> None:
        """Writes down `response` for those of `addresses` that have no outcome yet."""
        at = self._connection
        if at is None:
            outcome = Outcome(response)
        else:
            outcome = Outcome(response, at.host, at.tls, at.session_id)
        for address in addresses:
            outcomes.setdefault(address, outcome)


class Pieces:
    """A message's bytes, read in a thread, one piece at a time."""

    def __init__(self, opened: Opened, shared: Shared) -> None:
        self._file: BinaryIO = opened.file
        self._file.seek(opened.offset)
        self._shared = shared

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> bytes:
        piece = await self._shared.read(lambda: self._file.read(PIECE))
        if not piece:
            raise StopAsyncIteration
        return piece


def _check_hops(facts: Facts) -> None:
    """RFC 5321, 6.3: so many hosts have seen it that it must be running in a circle."""
    if facts.hops > _MOST_HOPS:
        text = f"too many hops: {facts.hops} Received headers"
        raise Undeliverable(failure(554, (5, 4, 6), text))
