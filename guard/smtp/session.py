"""The dialogue with one client, without a socket, a clock or a thread.

Bytes go in (`feed`), bytes and records come out (`take`). At most one thing at a time has to be
waited for (`pending`); until `answer` or `fail`, what arrives is kept. The same bytes give the
same replies and records in whatever pieces they arrive. What the commands do stands in mailing.py
and securing.py; the replies are KumoMTA's.
"""

from __future__ import annotations

from collections.abc import Callable

from guard.events import Kind
from guard.records import Record
from guard.smtp import knowing, mailing, manners, replies, securing
from guard.smtp.auth import Exchange
from guard.smtp.commands import Command, Verb, parse
from guard.smtp.knowing import Request
from guard.smtp.limits import LIMITS, SIZES, exceeded
from guard.smtp.lines import Line, Lines
from guard.smtp.listener import Facts, Listener, Peer, Tls
from guard.smtp.mailing import Transaction
from guard.smtp.pending import Pause, Pending
from guard.smtp.receiving import Receiving
from guard.smtp.recording import Recorder
from guard.smtp.redact import redact
from guard.smtp.replies import Reply, reply

_SIZED = frozenset(refusal.code for refusal in SIZES)


class Dialogue:
    """One session. `closing`: nothing more is heard, what is left to write is written.

    `steps` grows with every line and every message end, and shows who makes progress.
    """

    __slots__ = (
        "_lines",
        "_out",
        "_records",
        "_resume",
        "accepted",
        "auth_failures",
        "auth_refused",
        "authz",
        "closing",
        "commands",
        "errors",
        "exchange",
        "facts",
        "failed_recipients",
        "listener",
        "name",
        "now",
        "opening",
        "peer",
        "pending",
        "policy",
        "receiving",
        "recorder",
        "request",
        "steps",
        "transaction",
        "trusted",
    )

    def __init__(
        self, listener: Listener, peer: Peer, facts: Facts, *, trusted: bool = False
    ) -> None:
        self.trusted = trusted
        self.listener, self.peer, self.facts = listener, peer, facts
        self.policy = listener.policy.session()
        self.recorder = Recorder(peer, listener.nodeid, listener.ids)
        self._lines = Lines(listener.settings.line_length_hard_limit)
        self._out: list[bytes] = []
        self._records: list[Record] = []
        self._resume: Callable[[object], None] | None = None
        self.pending: Pending | None = None
        self.transaction: Transaction | None = None
        self.receiving: Receiving | None = None
        self.exchange: Exchange | None = None
        self.request: Request | None = None
        self.opening: bytes | None = b""
        self.authz: str | None = None
        self.name = ""
        self.now = 0.0
        self.auth_refused = self.closing = False
        self.steps = self.commands = self.errors = 0
        self.accepted = self.auth_failures = self.failed_recipients = 0

    # What the owner of the socket calls.

    @property
    def idle(self) -> bool:
        """Whether the client is between transactions, so that closing loses nothing of its own."""
        return self.transaction is None and self.pending is None

    @property
    def encrypted(self) -> bool:
        """Whether TLS is on."""
        return self.recorder.tls is not None

    def encrypt(self, tls: Tls) -> None:
        """The connection is a TLS one from the start."""
        self.recorder.tls = tls

    def greet(self, now: float) -> None:
        """The first reply."""
        self.now = now
        if self.trusted or not knowing.address(self):
            self._out.append(self.listener.banner)

    def feed(self, data: bytes, now: float) -> None:
        """Takes what the client sent, at `now`."""
        self.now = now
        self._lines.add(data)
        self._run()

    def feed_early(self, data: bytes, now: float) -> None:
        """Takes what the client said before the banner: nothing after it is heard."""
        self.now = now
        sign = self.listener.signatures.first(data)
        line = data.partition(b"\n")[0].rstrip(b"\r").decode("ascii", "backslashreplace")
        sign = sign or self.listener.signatures.line(line)
        kind = sign.kind if sign else Kind.EARLY_TALKER
        self.dismiss(self.listener.early, redact(line[:998], exchange=False), kind)

    def answer(self, value: object, now: float) -> None:
        """Goes on with what `pending` wanted."""
        resume, self._resume, self.pending = self._resume, None, None
        assert resume
        self.now = now
        resume(value)
        self._run()

    def fail(self, now: float) -> None:
        """Ends the session: something broke that is none of the client's business."""
        self.now, self.pending = now, None
        self._abandon()
        self.refuse(self.listener.technical, None)

    def end(self, last: Reply) -> None:
        """Says `last`, without a record, and closes."""
        self._out.append(last.wire)
        self.closing = True

    def end_request(self, now: float) -> None:
        """An HTTP request was heard for long enough: whoever sends it waits for an answer."""
        if self.request and not self.closing:
            self.now = now
            knowing.break_off(self, self.request, self._lines.take())

    def hush(self) -> None:
        """Takes back what was to be said: the client would not understand it."""
        self._out = []

    def lose(self) -> None:
        """The connection is gone. What is being stored in a worker thread is left to it."""
        if self.request and not self.closing:
            knowing.break_off(self, self.request, self._lines.take())
        self.closing = True
        if not self.pending:
            self._abandon()

    def take(self) -> tuple[bytes, list[Record]]:
        """What to write and what to record since the last call."""
        out, records = b"".join(self._out), self._records
        self._out.clear()
        if records:
            self._records = []
        return out, records

    # What the commands call.

    def say(self, answer: bytes) -> None:
        """Replies."""
        self._out.append(answer)

    def refuse(self, refusal: Reply, command: str | None, *, kind: Kind | None = None) -> None:
        """Says no and makes the record of it. A 421 ends the session."""
        self._out.append(refusal.wire)
        sender = recipient = ""
        if self.transaction:
            sender, recipient = self.transaction.mail_from, self.transaction.last
        self._records.append(
            self.recorder.rejection(
                self.now,
                refusal,
                command,
                name=self.name,
                sender=sender,
                recipient=recipient,
                kind=kind,
            )
        )
        if refusal.code == 421:
            self.closing = True
            return
        if refusal.code in _SIZED and (limit := SIZES.get(refusal)):
            self.listener.counts[limit] += 1
        if self.closing:
            return
        self.errors += 1
        if self.trusted:
            return
        settings = self.listener.settings
        # A refused recipient is an error too.
        if self.errors >= min(settings.max_errors, settings.max_failed_recipients):
            self._limit()
        if settings.tarpit and not self.closing:
            self._delay()

    def _delay(self) -> None:
        """The tarpit: each error of a session is answered a little later than the last.

        Whoever has authenticated, or is in good standing, is not held.
        """
        settings = self.listener.settings
        seconds = min(settings.tarpit * self.errors, settings.tarpit_max)
        if seconds <= 0 or self.authz:
            return
        if not self.listener.good(self.peer.address, self.now):
            self.wait(Pause(seconds), _nothing)

    def dismiss(self, refusal: Reply, command: str | None, kind: Kind) -> None:
        """Says no and ends the session."""
        self.closing = True
        self.refuse(refusal, command, kind=kind)

    def meet(self, limit: str) -> None:
        """Ends the session at a limit, named by its setting."""
        self.listener.counts[limit] += 1
        reply = self.listener.limits[limit]
        if LIMITS[limit].recorded:
            self.refuse(reply, None, kind=Kind.LIMIT)
        else:
            self.end(reply)

    def _limit(self) -> None:
        if self.trusted or self.closing:
            return
        limit = exceeded(
            self.listener.settings,
            commands=self.commands,
            errors=self.errors,
            failed_recipients=self.failed_recipients,
        )
        if limit:
            self.meet(limit)

    def record(self, *records: Record) -> None:
        """Adds records that are no rejections."""
        self._records += records

    def wait(self, pending: Pending, resume: Callable[[object], None]) -> None:
        """Stops here until `pending` is done; `resume` is given what it gave."""
        self.pending, self._resume = pending, resume

    def has_more(self) -> bool:
        """Whether something was received and not yet looked at."""
        return bool(self._lines.peek())

    def forget_input(self) -> None:
        """Discards what was received and not yet looked at."""
        self._lines.clear()

    def _run(self) -> None:
        lines = self._lines
        while not self.pending and not self.closing:
            if self.receiving:
                rest = self.receiving.feed(lines.take())
                if rest is None:
                    break
                lines.add(rest)
                self.steps += 1
                mailing.end_of_data(self)
            else:
                if self.steps == 0 and not self.trusted and self._begins(lines.peek()):
                    break
                line = lines.next()
                if line is None:
                    break
                self.steps += 1
                self.commands += 1
                self._hear(line)
                if self.commands > self.listener.settings.max_commands:
                    self._limit()

    def _hear(self, line: Line) -> None:
        if self.opening is not None and not self.trusted and self._opens(line):
            return
        if self.request:
            knowing.header_line(self, self.request, line.text or "")
        elif self.exchange:
            securing.continue_exchange(self, self.exchange, line)
        elif line.fault:
            if line.text and not self.trusted and knowing.strange_line(self, line.text):
                return
            safe = line.text and redact(line.text, exchange=self.auth_refused)
            self.refuse(line.fault, safe)
        else:
            assert line.text is not None
            self._obey(line.text)

    def _begins(self, data: bytes) -> bool:
        """Looks at the first bytes; whether there is nothing to do with them (yet)."""
        signatures = self.listener.signatures
        if data and data[0] not in signatures.suspects:
            self.opening = None
            return False
        if data and data[:1] not in signatures.openers:
            self.opening = None
        return knowing.first_bytes(self, data)

    def _opens(self, line: Line) -> bool:
        if line.text is None:
            self.opening = None
            return False
        end = b"\n" if line.fault else b"\r\n"
        return knowing.opening(self, line.text.encode() + end)

    def _obey(self, line: str) -> None:
        command = parse(line)
        refusal = command.refusal
        if refusal is None:
            self.auth_refused = False
            _HANDLERS[command.verb](self, command, line)
            return
        if not self.trusted and knowing.strange_line(self, line):
            return
        safe = redact(line, exchange=self.auth_refused)
        if safe != line:
            self.auth_refused = True  # more of the exchange may follow
            if command.verb is Verb.UNPARSEABLE:
                refusal = replies.unparseable(safe)
        self.refuse(refusal, safe)

    def _abandon(self) -> None:
        """Lets go of what a session may hold beyond its memory."""
        if self.receiving:
            self.receiving.abort()
        self.receiving = self.transaction = self.exchange = None


def _greeting(dialogue: Dialogue, command: Command, line: str) -> None:
    if not dialogue.trusted and (
        knowing.greeting(dialogue, command.argument, line)
        or manners.impolite(dialogue, command, line)
    ):
        return
    # As with KumoMTA it resets no transaction.
    dialogue.name = dialogue.facts.host_name = command.argument
    if command.verb is Verb.EHLO:
        dialogue.facts.extended_smtp = True
        dialogue.say(dialogue.listener.greeting(command.argument, encrypted=dialogue.encrypted))
    else:
        dialogue.say(reply(f"250 Hello {command.argument}!").wire)


def _nothing(_answer: object) -> None:
    """What comes of a pause."""


def _noop(dialogue: Dialogue, _command: Command, _line: str) -> None:
    dialogue.say(replies.NOOP.wire)


def _quit(dialogue: Dialogue, _command: Command, _line: str) -> None:
    dialogue.end(replies.QUIT)


_HANDLERS: dict[Verb, Callable[[Dialogue, Command, str], None]] = {
    Verb.EHLO: _greeting,
    Verb.HELO: _greeting,
    Verb.MAIL: mailing.mail,
    Verb.RCPT: mailing.rcpt,
    Verb.DATA: mailing.data,
    Verb.RSET: mailing.rset,
    Verb.NOOP: _noop,
    Verb.QUIT: _quit,
    Verb.STARTTLS: securing.starttls,
    Verb.AUTH: securing.auth,
}
