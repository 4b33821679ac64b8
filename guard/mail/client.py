"""One SMTP connection to one host: open it, hand over messages, close it.

The wire is aiosmtplib's protocol; here is what a relay needs beyond it: every recipient has an
outcome of its own, a message is sent piece by piece, nothing is written that the server did not
offer, and whatever the server does becomes a reply and never an exception of another kind.
Nothing the server says is trusted beyond that.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from aiosmtplib.errors import SMTPException
from aiosmtplib.esmtp import parse_esmtp_extensions
from aiosmtplib.protocol import SMTPProtocol
from aiosmtplib.response import SMTPResponse

from guard.mail.content import Mail, Stuffing
from guard.mail.replies import Undeliverable, failure, is_success, one_line, response
from guard.mail.resolver import Host
from guard.mail.settings import TlsMode
from guard.records import Response

_CLOSING = 421
_ODD = 451  # for a reply that makes no sense where it comes: it may be better next time
_TOO_MANY = (452, 552)  # RFC 5321, 4.5.3.1.10


@dataclass(frozen=True, slots=True)
class Timeouts:
    """In seconds; RFC 5321 section 4.5.3.2 where it says how long to wait."""

    connect: float = 30.0
    greeting: float = 60.0
    command: float = 300.0
    data: float = 180.0
    dot: float = 600.0
    quit: float = 5.0


@dataclass(frozen=True, slots=True)
class Terms:
    """What every connection for one policy has in common. `tls` None is no TLS at all."""

    hostname: str
    mode: TlsMode
    tls: ssl.SSLContext | None
    username: str | None = None
    password: str | None = None
    timeouts: Timeouts = Timeouts()


@dataclass(frozen=True, slots=True)
class Tls:
    """What was agreed, in OpenSSL's words."""

    cipher: str
    version: str


class _Wire(SMTPProtocol):
    async def body(self, pieces: AsyncIterator[bytes], timeouts: Timeouts) -> SMTPResponse:
        """What follows 354, to the reply to the final dot."""
        # The server may answer before we are done, for instance that it had enough.
        self._response_pending = True
        stuffing = Stuffing()
        try:
            async for piece in pieces:
                self.write(stuffing.piece(piece))
                async with asyncio.timeout(timeouts.data):
                    await self._drain_helper()
            self.write(stuffing.end())
        except ConnectionError:
            if self._response_waiter is None or not self._response_waiter.done():
                raise
        return await self.read_response(timeout=timeouts.dot)


class Connection:
    """An open connection. Used by one task."""

    def __init__(self, host: Host, wire: _Wire, terms: Terms) -> None:
        self.host, self._wire, self._terms = host, wire, terms
        self._extensions: dict[str, str] = {}
        self._mechanisms: list[str] = []
        self.tls: Tls | None = None
        self.session_id = str(uuid.uuid4())
        self.transactions = 0
        self._dirty = False

    @property
    def usable(self) -> bool:
        """Whether another transaction may be begun."""
        return self._wire.is_connected

    async def send(self, mail: Mail, pieces: AsyncIterator[bytes]) -> dict[str, Response]:
        """Hands `mail` over; the reply for every recipient. Raises Undeliverable.

        Where it raises, nobody was served. A recipient that the server had no room for in this
        transaction, but others, is missing: send it in the next one.
        """
        self.transactions += 1
        if self._dirty:
            await self._command("RSET")
        self._dirty = True
        await self._mail(mail)
        outcomes = await self._recipients(mail.recipients)
        accepted = [address for address, reply in outcomes.items() if is_success(reply)]
        if not accepted:
            return outcomes
        if self.usable:
            last = await self._data(pieces)
        else:
            last = failure(451, (4, 4, 2), "the server closed the connection")
        outcomes.update(dict.fromkeys(accepted, last))
        return {a: r for a, r in outcomes.items() if r.code not in _TOO_MANY or a in accepted}

    async def quit(self) -> None:
        """Says goodbye and closes."""
        with suppress(SMTPException, OSError, TimeoutError):
            if self.usable:
                await self._wire.execute_command(b"QUIT", timeout=self._terms.timeouts.quit)
        self.close()

    def close(self) -> None:
        """Closes."""
        if self._wire.transport is not None:
            self._wire.transport.close()

    async def begin(self) -> None:
        """Greeting, EHLO, STARTTLS and AUTH, as the terms want it. Raises Undeliverable."""
        with _trouble("the greeting"):
            greeting = await self._wire.read_response(self._terms.timeouts.greeting)
        if greeting.code != 220:
            # RFC 5321 3.1: 554 says that this host has no SMTP service. Another may have.
            said = one_line(response(greeting.code, greeting.message))
            raise Undeliverable(failure(451, (4, 4, 0), f"{self.host.name} greets with {said}"))
        self._note_tls()
        await self._ehlo()
        await self._start_tls()
        if self._terms.username is not None:
            await self._login(self._terms.username, self._terms.password or "")

    async def _ehlo(self) -> None:
        said = await self._command(f"EHLO {self._terms.hostname}")
        if said.code == 250:
            self._extensions, self._mechanisms = parse_esmtp_extensions(said.message)
            return
        self._extensions, self._mechanisms = {}, []
        said = await self._command(f"HELO {self._terms.hostname}")
        if said.code != 250:
            self._refused("HELO", said)

    async def _start_tls(self) -> None:
        terms, host = self._terms, self.host
        if terms.mode in ("off", "implicit") or terms.tls is None:
            return
        if "starttls" not in self._extensions:
            if terms.mode != "opportunistic":
                text = f"{self.host.name} offers no STARTTLS, which is required"
                raise Undeliverable(failure(451, (4, 7, 4), text))
            return
        try:
            with _trouble("STARTTLS"):
                await self._wire.start_tls(
                    terms.tls,
                    server_hostname=_certified(host),
                    timeout=terms.timeouts.command,
                )
        except ssl.SSLError as error:
            raise _tls_failed(host, error) from error
        except Undeliverable as error:
            raise TlsFailed(error.response) from error
        self._note_tls()
        await self._ehlo()

    def _note_tls(self) -> None:
        session = self._wire.transport and self._wire.transport.get_extra_info("ssl_object")
        if session:
            self.tls = Tls((session.cipher() or ("",))[0], session.version() or "")

    async def _login(self, user: str, password: str) -> None:
        if self.tls is None:
            text = f"{self.host.name} offers no TLS, and a password is not sent without"
            raise Undeliverable(failure(451, (4, 7, 4), text))
        if "plain" in self._mechanisms:
            word = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
            said = await self._command(f"AUTH PLAIN {word}")
        elif "login" in self._mechanisms:
            said = await self._command("AUTH LOGIN")
            for secret in (user, password):
                if said.code == 334:
                    said = await self._command(base64.b64encode(secret.encode()).decode())
        else:
            raise Undeliverable(
                failure(451, (4, 7, 0), f"{self.host.name} offers neither AUTH PLAIN nor LOGIN")
            )
        if said.code != 235:
            # Whatever the code, for the sender it is temporary: the operator has to mend it.
            self._refused("AUTH", said)

    def _refused(self, what: str, said: SMTPResponse) -> None:
        reply = one_line(response(said.code, said.message))
        text = f"{self.host.name} answers {what} with {reply}"
        raise Undeliverable(failure(451, (4, 4, 0), text))

    async def _mail(self, mail: Mail) -> None:
        command, refusal = self._mail_command(mail)
        if refusal is not None:
            raise Undeliverable(refusal)
        said = await self._command(command)
        if not 200 <= said.code < 300:
            self._hang_up_if_told(said)
            raise Undeliverable(response(_real(said.code), said.message, command))

    def _mail_command(self, mail: Mail) -> tuple[str, Response | None]:
        """MAIL with what this server offers, or why it cannot take the message."""
        offers, words = self._extensions, [f"MAIL FROM:<{mail.sender}>"]
        limit = offers.get("size", "")
        if limit.isascii() and limit.isdigit() and 0 < int(limit) < mail.size:
            return "", failure(552, (5, 3, 4), f"{self.host.name} takes at most {limit} bytes")
        if "size" in offers:
            words.append(f"SIZE={mail.size}")
        if "smtputf8" not in offers and (refusal := self._needs_utf8(mail)) is not None:
            return "", refusal
        if mail.facts.eight_bit and "8bitmime" not in offers:
            # RFC 6152, 3: it must not be sent as it is, and we convert nobody's message.
            return "", failure(554, (5, 6, 3), f"{self.host.name} takes no 8-bit messages")
        if mail.facts.eight_bit:
            words.append("BODY=8BITMIME")
        if "smtputf8" in offers and (mail.utf8_addresses or mail.facts.utf8_headers):
            words.append("SMTPUTF8")
        return " ".join(words), None

    def _needs_utf8(self, mail: Mail) -> Response | None:
        """Why a server without SMTPUTF8 cannot take `mail` (RFC 6531, 3.5)."""
        if mail.utf8_addresses:
            return failure(553, (5, 6, 7), f"{self.host.name} takes no addresses beyond ASCII")
        if mail.utf8_headers:
            return failure(554, (5, 6, 9), f"{self.host.name} takes no headers beyond ASCII")
        return None

    async def _recipients(self, addresses: Sequence[str]) -> dict[str, Response]:
        outcomes: dict[str, Response] = {}
        for address in addresses:
            command = f"RCPT TO:<{address}>"
            said = await self._command(command)
            outcomes[address] = response(_real(said.code), said.message, command)
            if said.code == _CLOSING:
                # The others have heard nothing; for those accepted before there is no DATA.
                self._hang_up_if_told(said)
                rest = [a for a in addresses if a not in outcomes]
                outcomes.update(dict.fromkeys(rest, outcomes[address]))
                break
        return outcomes

    async def _data(self, pieces: AsyncIterator[bytes]) -> Response:
        said = await self._command("DATA")
        if said.code != 354:
            self._hang_up_if_told(said)
            # A 250 here would be for a message that was never sent.
            code = said.code if said.code // 100 in (4, 5) else _ODD
            return response(code, said.message, "DATA")
        try:
            with _trouble("the message"):
                said = await self._wire.body(pieces, self._terms.timeouts)
        except Undeliverable as error:
            self.close()
            return error.response
        except BaseException:
            # Half a message must not be taken for a whole one: no dot, no reply, no connection.
            self.close()
            raise
        self._hang_up_if_told(said)
        self._dirty = False
        return response(_real(said.code), said.message, ".")

    def _hang_up_if_told(self, said: SMTPResponse) -> None:
        if said.code == _CLOSING:
            self.close()

    async def _command(self, line: str) -> SMTPResponse:
        try:
            with _trouble(line.split(" ", 1)[0]):
                return await self._wire.execute_command(
                    line.encode(), timeout=self._terms.timeouts.command
                )
        except ValueError:
            # A control character; no address that the listener takes has one.
            return SMTPResponse(553, "5.1.3 the address cannot be written in SMTP")
        except Undeliverable:
            self.close()
            raise


class TlsFailed(Undeliverable):
    """TLS was offered and did not come about."""


async def connect(host: Host, terms: Terms) -> Connection:
    """A connection that is ready for MAIL. Raises Undeliverable.

    Opportunistic TLS that fails is left out in a second attempt (RFC 3207; Postfix does the same):
    encryption that anybody may forge is better than none, but not than no mail.
    """
    try:
        return await _connect(host, terms)
    except TlsFailed:
        if terms.mode != "opportunistic" or terms.username is not None:
            raise
        plain = Terms(terms.hostname, "off", None, timeouts=terms.timeouts)
        return await _connect(host, plain)


async def _connect(host: Host, terms: Terms) -> Connection:
    loop = asyncio.get_running_loop()
    implicit = terms.mode == "implicit"  # RFC 8314, 3.3
    try:
        with _trouble(f"connecting to {host.address} port {host.port}"):
            async with asyncio.timeout(terms.timeouts.connect):
                _, wire = await loop.create_connection(
                    lambda: _Wire(loop),
                    host.address,
                    host.port,
                    ssl=terms.tls if implicit else None,
                    server_hostname=_certified(host) if implicit else None,
                )
    except ssl.SSLError as error:
        raise _tls_failed(host, error) from error
    connection = Connection(host, wire, terms)
    try:
        await connection.begin()
    except BaseException:
        connection.close()
        raise
    return connection


def _certified(host: Host) -> str:
    """Whose certificate it has to be: of a literal, the address's."""
    return host.address if host.name.startswith("[") else host.name


def _tls_failed(host: Host, error: ssl.SSLError) -> TlsFailed:
    reason = getattr(error, "verify_message", "") or error.reason or type(error).__name__
    return TlsFailed(failure(451, (4, 7, 5), f"TLS with {host.name} failed: {reason}"))


def _real(code: int) -> int:
    """A reply code that ends something; 1xx and 3xx where none is due are the server's fault."""
    return code if code // 100 in (2, 4, 5) else _ODD


@contextmanager
def _trouble(doing: str) -> Iterator[None]:
    """Turns what sockets and aiosmtplib raise into a temporary failure."""
    try:
        yield
    except TimeoutError as error:
        raise Undeliverable(failure(451, (4, 4, 2), f"{doing}: timed out")) from error
    except ssl.SSLError:
        raise
    except (SMTPException, OSError) as error:
        text = getattr(error, "message", "") or getattr(error, "strerror", "") or str(error)
        timed_out = "imed out" in text
        reason = "timed out" if timed_out else " ".join(str(text).split())
        raise Undeliverable(failure(451, (4, 4, 2), f"{doing}: {reason}")) from error
