"""What deliveries of the tests meet: scripted mail servers and name servers, on loopback."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Self

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def talking(
    talk: Talk, port: int = 0, tls: ssl.SSLContext | None = None, address: str = "127.0.0.1"
) -> AsyncIterator[int]:
    """A server that does `talk` with everybody; yields its port, and leaves nothing open."""
    tasks: set[asyncio.Task[None] | None] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        try:
            with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.CancelledError):
                await talk(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()
            tasks.discard(asyncio.current_task())

    server = await asyncio.start_server(one, address, port, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.sleep(0.02)  # what was connecting becomes a task
        for task in list(tasks):
            task.cancel()
        while tasks:  # noqa: ASYNC110 - they end in their own time
            await asyncio.sleep(0.005)
        await server.wait_closed()


@dataclass
class Received:
    """One message that a next hop took, or was given before it hung up."""

    sender: str
    recipients: list[str]
    data: bytes
    connection: int
    tls: bool


@dataclass
class Hop:
    """An SMTP server whose replies a test chooses.

    `answers` maps the beginning of a command (upper case, longest match wins) to a reply, to a
    callable that gives one, or to None: hang up. `.` is the end of the message. Every command, or
    those that begin with `slow`, wait `delay` seconds for their answer.
    """

    answers: dict[str, object] = field(default_factory=dict)
    extensions: list[str] = field(default_factory=lambda: ["8BITMIME", "SIZE 10000000"])
    tls: ssl.SSLContext | None = None
    greeting: str | None = "220 hop.test ESMTP"
    delay: float = 0.0
    slow: str = ""
    implicit: bool = False
    address: str = "127.0.0.1"

    def __post_init__(self) -> None:
        self.messages: list[Received] = []
        self.commands: list[str] = []
        self.connections = 0
        self.open = self.most_open = 0
        self.port = closed_port()

    async def __aenter__(self) -> Self:
        tls = self.tls if self.implicit else None
        self._server = talking(self._talk, self.port, tls, self.address)
        self.port = await self._server.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.__aexit__(None, None, None)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            await self._session(reader, writer, self.connections)
        finally:
            self.open -= 1

    def _answer(self, command: str, default: str) -> str | None:
        key = max((k for k in self.answers if command.upper().startswith(k)), key=len, default="")
        if not key:
            return default
        found = self.answers[key]
        return found(command) if callable(found) else found  # type: ignore[return-value]

    def _default(self, word: str, *, over_tls: bool) -> str:
        if word != "EHLO":
            return {"QUIT": "221 bye", "DATA": "354 go", "STARTTLS": "220 go"}.get(word, "250 ok")
        offers = [*self.extensions, *(["STARTTLS"] if self.tls and not over_tls else [])]
        lines = ["hop.test", *offers]
        return "".join(f"250-{x}\r\n" for x in lines[:-1]) + f"250 {lines[-1]}"

    async def _session(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        if self.greeting is None:
            return
        message = Received("", [], b"", number, tls=self.implicit)
        writer.write(self.greeting.encode() + b"\r\n")
        while line := await reader.readline():
            command = line.decode("utf-8", "surrogateescape").rstrip("\r\n")
            self.commands.append(command)
            word = command.split(" ")[0].upper()
            slow = command.upper().startswith(self.slow) if self.slow else True
            await asyncio.sleep(self.delay if slow else 0)
            reply = self._answer(command, self._default(word, over_tls=message.tls))
            if reply is None:
                return
            writer.write(reply.encode() + b"\r\n")
            await writer.drain()
            if word == "QUIT":
                return
            if word == "STARTTLS" and reply.startswith("220"):
                if self.tls is None:
                    return
                await writer.start_tls(self.tls)
                message.tls = True
            if word == "DATA" and reply.startswith("354"):
                message.data = await self._body(reader)
                if not self._end(writer, message):
                    return
            self._note(message, word, command, reply)

    def _note(self, message: Received, word: str, command: str, reply: str) -> None:
        if word == "MAIL" and reply.startswith("250"):
            message.sender, message.recipients = command, []
        elif word == "RCPT" and reply.startswith("250"):
            message.recipients.append(command[len("RCPT TO:<") : -1])

    def _end(self, writer: asyncio.StreamWriter, message: Received) -> bool:
        """Answers the final dot; False to hang up. A message is kept also when we then do."""
        self.commands.append(".")
        reply = self._answer(".", "250 2.0.0 taken")
        if reply is None or reply.startswith("250"):
            self.messages.append(replace(message, recipients=list(message.recipients)))
        if reply is not None:
            writer.write(reply.encode() + b"\r\n")
        return reply is not None

    async def _body(self, reader: asyncio.StreamReader) -> bytes:
        lines = []
        while (line := await reader.readline()) != b".\r\n":
            if not line:
                raise ConnectionResetError
            lines.append(line.removeprefix(b"."))
        return b"".join(lines)


class NameServer(asyncio.DatagramProtocol):
    """A name server on loopback. `zone` maps (name, type) to texts of records.

    A name without any record does not exist; `broken` names get SERVFAIL, `silent` none at all.
    """

    def __init__(self, zone: dict[tuple[str, str], list[str]]) -> None:
        self.zone = zone
        self.broken: set[str] = set()
        self.silent: set[str] = set()
        self.asked: list[tuple[str, str]] = []
        self.port = closed_port()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self.transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", self.port)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self.transport.close()
        await asyncio.sleep(0)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answers one question."""
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        if name in self.silent:
            return
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.AA
        if name in self.broken:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif records := self.zone.get((name, kind)):
            answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *records))
        elif not any(name == known for known, _ in self.zone):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        self.transport.sendto(answer.to_wire(want_shuffle=False), addr)


async def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Waits until `condition` holds; fails when it does not in time."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the other side tells nobody
            await asyncio.sleep(0.01)


def closed_port() -> int:
    """A port of 127.0.0.1 that refuses connections."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
