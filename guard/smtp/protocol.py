"""aiosmtpd's SMTP protocol, with the dialogue of session.py in the place of its command loop.

Everything that works around aiosmtpd 1.4.6 stands in this file:

* its constructor looks through itself and its handler with `inspect` on every connection, and
  clears a dictionary of limits that all connections share: it is not called, what is the same
  for every connection is prepared once (listener.py);
* it runs a task and awaits for each command: commands that need no I/O are answered in
  `data_received`, and no task exists unless something has to be waited for;
* it sends the text of an exception to the client: `handle_exception` says 421 4.3.0;
* it keeps the whole message in memory, logs every command line, and wraps TLS by hand.
"""

from __future__ import annotations

import asyncio
import logging
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from aiosmtpd.smtp import SMTP
from aiosmtpd.smtp import Session as Facts

from guard.lib.networks import parse_address
from guard.smtp.listener import Peer, Tls
from guard.smtp.pending import Handshake, Question, Work
from guard.smtp.session import Dialogue

if TYPE_CHECKING:
    from guard.smtp.server import Server

log = logging.getLogger("guard.smtp")


class Connection(SMTP):
    """One client: moves bytes, records and answers between socket, dialogue and server."""

    def __init__(self, server: Server) -> None:
        # On purpose without super().__init__; see above.
        self.server = server
        self.loop = server.loop
        self.transport: asyncio.Transport | None = None
        self.dialogue: Dialogue | None = None
        self._job: asyncio.Future[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._steps = -1
        self._heard = 0.0
        self._hung_up = False

    # From the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there, or there again after its TLS handshake."""
        self.transport = cast("asyncio.Transport", transport)
        if self.dialogue:
            return
        refusal = self.server.admit(self)
        if refusal:
            self.transport.write(refusal.wire)
            self.transport.close()
            return
        try:
            peer = _peer(self.transport)
        except (ValueError, TypeError, LookupError):
            self.transport.abort()  # gone already: it has no address any more
            return
        facts = self.session = Facts(self.loop)
        facts.peer = peer.name
        self.dialogue = Dialogue(self.server.listener, peer, facts)
        self._heard = self.loop.time()
        self._timer = self.loop.call_later(self.server.patience, self._look)
        self.dialogue.greet()
        self._flush()

    def data_received(self, data: bytes) -> None:
        """The client said something."""
        dialogue = self.dialogue
        if dialogue is None or dialogue.closing:
            return
        try:
            dialogue.feed(data, self.server.clock())
        except Exception as error:  # the session's edge: our bug must not stop the listener
            self._broke(error)
        self._flush()

    def eof_received(self) -> bool:
        """The client says no more; what it asked for before is still answered."""
        self._hung_up = True
        return self._job is not None and not (self.dialogue and self.dialogue.encrypted)

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        self.transport = None
        if self._timer:
            self._timer.cancel()
        dialogue = self.dialogue
        if dialogue:
            dialogue.lose()
            if isinstance(dialogue.pending, Question) and self._job:
                self._job.cancel()
        self.server.forget(self)

    def pause_writing(self) -> None:
        """The client does not read its replies: it gets no more of them."""
        if self.transport:
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        """It reads again."""
        if self.transport and not self._job:
            self.transport.resume_reading()

    # What the dialogue wants.

    def _flush(self) -> None:
        dialogue, transport = self.dialogue, self.transport
        assert dialogue
        out, records = dialogue.take()
        for record in records:  # before the reply, as KumoMTA does
            self.server.sink.put(record)
        if transport is None:
            return
        if out:
            transport.write(out)
        if dialogue.steps != self._steps:
            self._steps, self._heard = dialogue.steps, self.loop.time()
        if dialogue.closing:
            transport.close()
        elif dialogue.pending and not self._job:
            self._start()
        elif self._hung_up and not dialogue.pending:
            transport.close()
        elif self.server.stopping and dialogue.idle:
            self.leave()

    def _start(self) -> None:
        """Sets about what the dialogue waits for; hears no more until it is done."""
        dialogue, transport = self.dialogue, self.transport
        assert dialogue and transport
        wanted = dialogue.pending
        if isinstance(wanted, Work):
            transport.pause_reading()
            self._job = self.server.work(wanted.job)
        elif isinstance(wanted, Question):
            transport.pause_reading()
            self._job = self.server.ask(wanted.answer)
        else:
            assert isinstance(wanted, Handshake)
            self._job = self.server.ask(self._handshake(transport))
        self._job.add_done_callback(self._done)

    def _done(self, job: asyncio.Future[Any]) -> None:
        dialogue, self._job = self.dialogue, None
        assert dialogue
        if job.cancelled():
            return
        try:
            dialogue.answer(job.result(), self.server.clock())
        except _HandshakeFailedError:
            return
        except Exception as error:  # the session's edge, as above
            self._broke(error)
        self._heard = self.loop.time()
        self._flush()
        if self.transport and not self._job:
            self.transport.resume_reading()

    async def _handshake(self, transport: asyncio.Transport) -> Tls:
        context = self.server.tls_context
        assert context and self.dialogue
        # The last of what came in the clear. What comes from here on has been decrypted, and may
        # come before this coroutine hears that the handshake is done.
        self.dialogue.forget_input()
        try:
            secured = await self.loop.start_tls(
                transport, self, context, server_side=True, ssl_handshake_timeout=30.0
            )
        except (OSError, TimeoutError) as error:
            log.info("TLS handshake failed: %s", error)
            transport.abort()
            raise _HandshakeFailedError from None
        if secured is None:
            raise _HandshakeFailedError
        self.transport = secured
        return tls_of(secured)

    # When things do not go well.

    def _broke(self, error: Exception) -> None:
        assert self.dialogue
        log.error("a session broke", exc_info=error)
        self.dialogue.fail(self.server.clock())

    async def handle_exception(self, error: Exception) -> str:
        """What aiosmtpd's own machinery would tell the client of `error`: nothing of it."""
        log.error("a session broke", exc_info=error)
        return self.server.listener.technical.wire.decode().rstrip()

    def _look(self) -> None:
        """Ends a session that has not come a step further for too long."""
        dialogue, transport = self.dialogue, self.transport
        if dialogue is None or transport is None:
            return
        left = self._heard + self.server.patience - self.loop.time()
        if left > 0 or dialogue.pending:
            self._timer = self.loop.call_later(max(left, 0.05), self._look)
            return
        dialogue.lose()
        dialogue.end(self.server.listener.idle)
        self._flush()

    def leave(self) -> None:
        """The listener shuts down and this client is between two messages."""
        if self.dialogue and not self.dialogue.closing:
            self.dialogue.end(self.server.listener.shutting_down)
            self._flush()

    def cut(self) -> None:
        """The listener shuts down and has waited long enough."""
        if self.transport:
            self.transport.abort()


class _HandshakeFailedError(Exception):
    """The socket is closed already."""


def tls_of(transport: asyncio.BaseTransport) -> Tls:
    """What was agreed on an encrypted connection."""
    cipher = transport.get_extra_info("cipher") or ("", "", 0)
    ssl_object = transport.get_extra_info("ssl_object")
    return Tls(cipher[0], (ssl_object and ssl_object.version()) or "")


def _peer(transport: asyncio.BaseTransport) -> Peer:
    """Both ends; IPv4-mapped addresses are the IPv4 ones. Raises when the socket is gone."""
    host, port = transport.get_extra_info("peername")[:2]
    address = parse_address(host.partition("%")[0])
    # What the kernel calls an IPv4 address is how we write it.
    text = host if ":" not in host else str(address)
    name = f"{text}:{port}" if address.version == 4 else f"[{text}]:{port}"
    local = transport.get_extra_info("sockname")
    return Peer(address, text, port, name, _endpoint(local[0], local[1]))


@lru_cache(maxsize=64)
def _endpoint(host: str, port: int) -> str:
    """One of our own addresses as KumoMTA writes it."""
    address = parse_address(host.partition("%")[0])
    return f"{address}:{port}" if address.version == 4 else f"[{address}]:{port}"
