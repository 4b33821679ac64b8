"""What deliveries of the tests meet: scripted mail servers and name servers, on loopback."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Self

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


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
    callable that gives one, or to None: hang up. `.` is the end of the message.
    """

    answers: dict[str, object] = field(default_factory=dict)
    extensions: list[str] = field(default_factory=lambda: ["8BITMIME", "SIZE 10000000"])
    tls: ssl.SSLContext | None = None
    greeting: str | None = "220 hop.test ESMTP"
    delay: float = 0.0

    def __post_init__(self) -> None:
        self.messages: list[Received] = []
        self.commands: list[str] = []
        self.connections = 0
        self.open = self.most_open = 0
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", self.port, limit=2**24)
        self.port = self._server.sockets[0].getsockname()[1]
        self._tasks: set[asyncio.Task[None]] = set()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._server.wait_closed()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._session(reader, writer, self.connections)
        self.open -= 1
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()
        self._tasks.discard(task)

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
        message = Received("", [], b"", number, tls=False)
        writer.write(self.greeting.encode() + b"\r\n")
        while line := await reader.readline():
            command = line.decode("utf-8", "surrogateescape").rstrip("\r\n")
            self.commands.append(command)
            word = command.split(" ")[0].upper()
            await asyncio.sleep(self.delay)
            reply = self._answer(command, self._default(word, over_tls=message.tls))
            if reply is None:
                return
            writer.write(reply.encode() + b"\r\n")
            await writer.drain()
            if word == "QUIT":
                return
            if word == "STARTTLS" and reply.startswith("220"):
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

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self.transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", 0)
        )
        self.port = self.transport.get_extra_info("sockname")[1]
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
        self.transport.sendto(answer.to_wire(), addr)


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Waits until `condition` holds; fails when it does not in time."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the other side tells nobody
            await asyncio.sleep(0.01)


def closed_port() -> int:
    """A port of 127.0.0.1 that refuses connections."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
