"""aiosmtpd's SMTP protocol, with the dialogue of session.py in the place of its command loop.

Everything that works around aiosmtpd 1.4.6 stands in this file and in link.py, its base:

* its constructor looks through itself and its handler with `inspect` on every connection, and
  clears a dictionary of limits that all connections share: it is not called, what is the same
  for every connection is prepared once (listener.py);
* it runs a task and awaits for each command: commands that need no I/O are answered in
  `data_received`, and no task exists unless something has to be waited for;
* it sends the text of an exception to the client: `handle_exception` says 421 4.3.0;
* it wraps TLS with asyncio's private parts: tls.py does it with OpenSSL's buffers;
* it keeps the whole message in memory and logs every command line.

A connection is first admitted, then may have to bring a PROXY header, then a TLS handshake, and
then becomes a dialogue.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, cast

from guard.smtp import knowing
from guard.smtp.link import Link, peer_of
from guard.smtp.listener import Facts, Peer, Tls
from guard.smtp.pending import Pause, Question, Work
from guard.smtp.session import Dialogue

if TYPE_CHECKING:
    from guard.smtp.server import Server

log = logging.getLogger("guard.smtp")

_REQUEST = 1.0  # seconds that an HTTP request may take to say who it is
_GUESS = b"EHLO WE-GUESS.MOZILLA.ORG\r\n"


class Connection(Link):
    """One client: moves bytes, records and answers between socket, dialogue and server."""

    dialogue: Dialogue | None = None
    _job: asyncio.Future[Any] | None = None
    _asking: asyncio.TimerHandle | None = None
    _pause: asyncio.TimerHandle | None = None
    slot = 0  # of the server's deadlines
    _early = b""
    _steps = 0
    _entered = False

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self._silence: asyncio.TimerHandle | None = None

    # From the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self.transport = cast("asyncio.Transport", transport)
        refusal = self.server.admit(self)
        if refusal:
            self.transport.write(refusal.wire)
            self.transport.close()
            return
        try:
            host, port = transport.get_extra_info("peername")[:2]
            local = transport.get_extra_info("sockname")
            peer = peer_of(host, port, local[0], local[1])
        except (ValueError, TypeError, LookupError):
            self.transport.abort()  # gone already: it has no address any more
            return
        self._began = self._heard = self.loop.time()
        patience = min(self.server.settings.client_timeout, self.server.settings.session_timeout)
        self.server.deadlines.add(self, self._began + patience)
        self.meet(peer)

    def data_received(self, data: bytes) -> None:
        """The client said something."""
        if self.wrapped:
            data = self.open(data)
        dialogue = self.dialogue
        if dialogue is None or dialogue.closing or not (data or self.hung_up):
            return
        if self._silence:
            self._talks_early(dialogue, data)
            return
        if dialogue.receiving:
            # A body buys time by its bytes, so that a slow line may, and a drip may not.
            earned = len(data) / self.server.settings.min_data_rate
            self._heard = min(self.loop.time(), self._heard + earned)
        self._feed(dialogue, data, self.server.now)

    def _feed(self, dialogue: Dialogue, data: bytes, now: float) -> None:
        try:
            dialogue.feed(data, now)
        except Exception as error:  # the session's edge: our bug must not stop the listener
            self._broke(error)
        self._flush()

    def eof_received(self) -> bool:
        """The client says no more; what it asked for before is still answered."""
        self.hung_up = True
        if self._asking:
            self._asking.cancel()
            self._end_request()
        return self.waits()

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        self.transport = None
        self.server.deadlines.drop(self)
        if self._silence:
            self._silence.cancel()
        if self._asking:
            self._asking.cancel()
        if self._pause:
            self._pause.cancel()
            self.server.release()
        dialogue = self.dialogue
        if dialogue:
            dialogue.lose()
            for record in dialogue.take()[1]:
                self.server.sink.put(record)
            if self._entered:
                self.server.leave(dialogue.peer.address)
            if self._job and isinstance(dialogue.pending, Question):
                self._job.cancel()
        self.server.forget(self)

    # Before the dialogue.

    def arrived(self, peer: Peer) -> None:
        """The client's address is known."""
        if self.server.is_blocked(peer.address):
            self._turn_away()
            return
        facts = self.session = Facts(self.loop, peer.name)
        trusted, limit = self.server.enter(peer.address)
        self._entered = not (trusted or limit)
        self.dialogue = Dialogue(self.server.listener, peer, facts, trusted=trusted)
        if limit:
            self._limited(self.dialogue, limit)
        elif self.server.settings.tls_implicit:
            self.secure()
        elif self.server.greet_pause and not trusted:
            self._silence = self.loop.call_later(self.server.greet_pause, self._greet)
        else:
            self._greet()

    def recognise(self) -> None:
        """The client's reverse name has become known, which may be the end of the session."""
        dialogue = self.dialogue
        if dialogue is None or dialogue.trusted or not self.audible or self._silence:
            return
        if dialogue.pending or dialogue.receiving or dialogue.exchange or dialogue.closing:
            return
        dialogue.now = self.server.clock()
        if knowing.address(dialogue):
            self._flush()

    def _greet(self) -> None:
        """Says the banner, and hears what a Thunderbird may have said already."""
        early, self._early, self._silence = self._early, b"", None
        dialogue, now = self.dialogue, self.server.clock()
        if dialogue and self.transport and not dialogue.closing:
            dialogue.greet(now)
            self._flush()
            if early and not dialogue.closing:
                self._feed(dialogue, early, now)

    def _talks_early(self, dialogue: Dialogue, data: bytes) -> None:
        """Somebody who does not wait for the banner is no mail server (RFC 5321, section 3.1).

        But Thunderbird, looking for a server's settings, asks as soon as it is connected.
        """
        self._early += data[: 1024 - len(self._early)]
        begun = self._early.upper()
        if begun.startswith(_GUESS) or _GUESS.startswith(begun):
            return
        assert self._silence
        self._silence.cancel()
        self._silence = None
        dialogue.feed_early(self._early, self.server.clock())
        self._flush()

    def _turn_away(self) -> None:
        """The ledger says that this address is blocked."""
        assert self.transport
        settings = self.server.settings
        if settings.blocked == "drop" or settings.tls_implicit:
            self.transport.abort()
        else:
            self.transport.write(self.server.listener.blocked.wire)
            self.transport.close()

    def _limited(self, dialogue: Dialogue, limit: str) -> None:
        """There are too many of them already."""
        dialogue.now = self.server.clock()
        dialogue.meet(limit)
        if self.server.settings.tls_implicit:
            dialogue.hush()
        self._flush()

    def secured(self, tls: Tls) -> None:
        """After STARTTLS the dialogue goes on; on a port for TLS it begins."""
        assert self.dialogue
        if self.dialogue.pending:
            self.dialogue.answer(tls, self.server.clock())
        else:
            self.dialogue.encrypt(tls)
            self.dialogue.greet(self.server.clock())
        self._heard = self.loop.time()
        self._flush()

    def waits(self) -> bool:
        """For a worker thread, a hook, or in the tarpit."""
        return self._job is not None or self._pause is not None

    # What the dialogue wants.

    def _flush(self) -> None:
        dialogue, transport = self.dialogue, self.transport
        assert dialogue
        while True:
            out, records = dialogue.take()
            for record in records:  # before the reply, as KumoMTA does
                self.server.sink.put(record)
            if transport is None:
                return
            pending = dialogue.pending
            held = pending and isinstance(pending, Pause)
            if held and self._hold(transport, out, cast("Pause", pending)):
                return
            if out:
                transport.write(self._tunnel.send(out) if self._tunnel else out)
            if not held:
                break
            self._end_wait(None)  # too many are held already
        if dialogue.steps != self._steps:
            self._steps, self._heard = dialogue.steps, self.loop.time()
        if pending or dialogue.closing or dialogue.request or self.hung_up or self.server.stopping:
            self._go_on(dialogue, transport)

    def _go_on(self, dialogue: Dialogue, transport: asyncio.Transport) -> None:
        """What there is to do but to wait for the next line."""
        if dialogue.pending and not dialogue.closing:
            if not self._job:
                self._start(transport)
        elif dialogue.closing or self.hung_up:
            self.finish(transport)
        elif dialogue.request:
            self._asking = self._asking or self.loop.call_later(_REQUEST, self._end_request)
        elif self.server.stopping and dialogue.idle:
            self.leave()

    def _end_request(self) -> None:
        self._asking = None
        if self.dialogue and self.transport:
            self.dialogue.end_request(self.server.clock())
            self._flush()

    def _hold(self, transport: asyncio.Transport, out: bytes, pause: Pause) -> bool:
        """Keeps a reply back for a while, if not too many are kept already."""
        if self._pause:
            return True
        if not self.server.hold():
            return False
        transport.pause_reading()
        self._pause = self.loop.call_later(pause.seconds, self._end_pause, out)
        return True

    def _end_pause(self, out: bytes) -> None:
        self.server.release()
        self._pause = None
        if self.transport:
            self.transport.resume_reading()
            self.write(self.transport, out)
            self._end_wait(None)
            self._flush()

    def _end_wait(self, value: object) -> None:
        """Has the dialogue go on with what it waited for."""
        assert self.dialogue
        try:
            self.dialogue.answer(value, self.server.clock())
        except Exception as error:  # the session's edge, as above
            self._broke(error)
        self._heard = self.loop.time()

    def _start(self, transport: asyncio.Transport) -> None:
        """Sets about what the dialogue waits for; hears no more until it is done."""
        assert self.dialogue
        wanted = self.dialogue.pending
        if isinstance(wanted, Work):
            self._job = self.server.work(wanted.job)
        elif isinstance(wanted, Question):
            self._job = self.server.ask(wanted.answer)
        else:
            self.secure()
            return
        transport.pause_reading()
        self._job.add_done_callback(self._done)

    def _done(self, job: asyncio.Future[Any]) -> None:
        self._job = None
        if job.cancelled():
            return
        try:
            value = job.result()
        except Exception as error:  # the session's edge, as above
            self._broke(error)
        else:
            self._end_wait(value)
        self._flush()
        if self.transport and not self._job and not self.transport.is_closing():
            self.transport.resume_reading()

    # When things do not go well.

    def _broke(self, error: Exception) -> None:
        assert self.dialogue
        log.error("a session broke", exc_info=error)
        self.dialogue.fail(self.server.clock())

    def look(self) -> None:
        """Ends a session that takes too long, for its next step or in all."""
        if self.transport is None:
            return
        now, settings = self.loop.time(), self.server.settings
        left = self._heard + settings.client_timeout - now
        trusted = self.dialogue is not None and self.dialogue.trusted
        rest = float("inf") if trusted else self._began + settings.session_timeout - now
        if self.transport.is_closing():
            self.transport.abort()  # it did not take what it was told
            return
        if self._job or self._pause or min(left, rest) > 0:
            self.server.deadlines.add(self, now + max(min(left, rest), 0.05))
            return
        limit = "client_timeout" if left <= 0 else "session_timeout"
        self.server.listener.counts[limit] += 1
        self._say_goodbye(self.server.listener.limits[limit].wire)
        self.server.deadlines.add(self, now + settings.client_timeout)  # to take it

    def leave(self) -> None:
        """The listener shuts down and this client is between two messages."""
        self._say_goodbye(self.server.listener.shutting_down.wire)

    def _say_goodbye(self, words: bytes) -> None:
        transport, dialogue = self.transport, self.dialogue
        if transport is None or (dialogue and dialogue.closing):
            return
        # Nothing is said in the clear to a client that is about to speak TLS.
        if dialogue and self.audible:
            self.write(transport, words)
        if dialogue:
            dialogue.lose()
        self.finish(transport)

    def cut(self) -> None:
        """The listener shuts down and has waited long enough."""
        if self.transport:
            self.transport.abort()
