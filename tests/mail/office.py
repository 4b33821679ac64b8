"""A spool with a running Deliverer, for tests of delivery."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from guard.lib.clock import now
from guard.mail.client import Timeouts
from guard.mail.delivery import Deliverer, Surroundings
from guard.mail.resolver import DnsResolver, Mx
from guard.mail.routing import parse_route
from guard.mail.settings import DeliverySettings, QueueSettings
from guard.mail.spool import FileSpool
from guard.records import Record

# Long enough for a busy machine; no test waits for them.
PATIENT = Timeouts(connect=30, greeting=30, command=30, data=30, dot=30, quit=1)
BODY = b"Subject: x\r\n\r\nhello\r\n"
NODEID = "dd2b41fd-78f0-4105-8cd9-01ac7114cada"


class NoDns:
    """A resolver for tests in which nobody is to be looked up."""

    async def mx(self, name: str) -> list[Mx]:
        """Fails the test."""
        raise AssertionError(f"MX of {name} was asked for")

    async def addresses(self, name: str) -> list[str]:
        """Fails the test."""
        raise AssertionError(f"addresses of {name} were asked for")


@dataclass
class Office:
    """A spool in `folder`; `records` is what delivery logged."""

    folder: Path
    records: list[Record] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.spool = FileSpool(self.folder)
        self.spool.open()

    def put(self, record: Record) -> None:
        """Office is a Sink."""
        self.records.append(record)

    def mail(
        self,
        *recipients: str,
        sender: str = "a@b.test",
        body: bytes = b"Subject: x\r\n\r\nhello\r\n",
    ) -> str:
        """Spools a message; its id."""
        message = self.spool.create(
            sender, recipients or ["x@y.test"], {"reception_protocol": "ESMTP"}
        )
        message.write(body)
        return message.commit()

    def types(self) -> list[str]:
        """The types of the records so far."""
        return [record.type for record in self.records]

    @property
    def empty(self) -> bool:
        """Whether nothing waits on disk."""
        return not list(self.spool.new.iterdir()) and not list((self.folder / "state").iterdir())

    def runner(
        self,
        queues: dict[str, QueueSettings],
        *,
        resolver: Any = None,
        settings: DeliverySettings | None = None,
        **more: Any,
    ) -> Deliverer:
        """A Deliverer of this spool."""
        around = Surroundings(
            sink=self,
            resolver=resolver or NoDns(),
            clock=now,
            nodeid=NODEID,
            timeouts=PATIENT,
            chance=lambda: 0.5,
            **more,
        )
        settings = settings or DeliverySettings(hostname="me.test")
        return Deliverer(self.spool, settings, queues, around)

    @contextlib.asynccontextmanager
    async def delivering(
        self, queues: dict[str, QueueSettings], **more: Any
    ) -> AsyncIterator[Deliverer]:
        """Delivers meanwhile; in the end everything under way ends."""
        deliverer = self.runner(queues, **more)
        async with asyncio.TaskGroup() as group:
            group.create_task(deliverer.run())
            try:
                yield deliverer
            finally:
                deliverer.finish()


def to(port: int, **more: Any) -> QueueSettings:
    """Everything goes to this port of 127.0.0.1, and is soon tried again."""
    more.setdefault("retry_interval", 0.1)
    return QueueSettings(
        routing_domain=parse_route(f"[127.0.0.1]:{port}"), prohibited_hosts=(), **more
    )


def dns(port: int) -> DnsResolver:
    """The name server at this port of 127.0.0.1."""
    return DnsResolver(["127.0.0.1"], port)
