"""STARTTLS and AUTH. What a client says in an AUTH exchange is never recorded, only that it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.events import Kind
from guard.relay.login import Login
from guard.roles import GuardError
from guard.smtp import knowing, replies
from guard.smtp.auth import Authenticator, Credentials, Exchange
from guard.smtp.commands import Command
from guard.smtp.lines import Line
from guard.smtp.listener import Tls
from guard.smtp.pending import Handshake, Question
from guard.smtp.redact import mechanism

if TYPE_CHECKING:
    from guard.smtp.session import Dialogue

_IN_EXCHANGE = {
    replies.LINE_TOO_LONG.content: replies.AUTH_LINE_TOO_LONG,
    replies.NOT_UTF8.content: replies.AUTH_LINE_NOT_UTF8,
}


def starttls(dialogue: Dialogue, _command: Command, line: str) -> None:
    """STARTTLS, RFC 3207. Without a certificate there is no such command."""
    if dialogue.encrypted:
        dialogue.refuse(replies.TLS_TWICE, line)
    elif not dialogue.listener.starttls:
        dialogue.refuse(replies.UNIMPLEMENTED, line)
    else:
        dialogue.say(replies.START_TLS.wire)
        # Section 4.2: what was said in the clear must not be believed. KumoMTA believes it.
        dialogue.forget_input()
        dialogue.wait(Handshake(), lambda tls: _encrypted(dialogue, tls))


def _encrypted(dialogue: Dialogue, tls: object) -> None:
    assert isinstance(tls, Tls)
    dialogue.encrypt(tls)
    dialogue.name, dialogue.facts.host_name = "", None
    dialogue.transaction = None
    dialogue.policy = dialogue.listener.policy.session()


def auth(dialogue: Dialogue, command: Command, _line: str) -> None:
    """AUTH, RFC 4954. The order of the checks is KumoMTA's."""
    name = command.argument
    shown = mechanism(name)
    safe = "AUTH" if shown == "*" else f"AUTH {name}"
    dialogue.auth_refused = True  # until it succeeds
    if dialogue.authz is not None:
        dialogue.refuse(replies.AUTH_TWICE, safe)
    elif dialogue.transaction:
        dialogue.refuse(replies.AUTH_IN_TRANSACTION, safe)
    elif name not in dialogue.listener.mechanisms:
        if not dialogue.trusted and knowing.mechanism(dialogue, name, command.initial):
            return
        dialogue.refuse(replies.auth_unsupported(name, shown), safe)
    elif not dialogue.encrypted:
        dialogue.refuse(replies.auth_not_encrypted(name), safe)
    else:
        dialogue.exchange = dialogue.listener.mechanisms[name](command.initial)
        _step(dialogue, dialogue.exchange, None)


def continue_exchange(dialogue: Dialogue, exchange: Exchange, line: Line) -> None:
    """The client's next line."""
    if line.fault:
        dialogue.exchange = None
        dialogue.refuse(_IN_EXCHANGE.get(line.fault.content, line.fault), "AUTH")
    else:
        _step(dialogue, exchange, line.text)


def _step(dialogue: Dialogue, exchange: Exchange, line: str | None) -> None:
    try:
        challenge = next(exchange) if line is None else exchange.send(line)
    except StopIteration as end:
        dialogue.exchange = None
        if isinstance(end.value, Credentials):
            _check(dialogue, end.value)
        else:
            dialogue.refuse(end.value, "AUTH")
    else:
        dialogue.say(challenge)


def _check(dialogue: Dialogue, credentials: Credentials) -> None:
    authenticator = dialogue.listener.authenticator
    # Nobody may act as somebody else.
    if authenticator is None or credentials.authz != credentials.user:
        _wrong(dialogue)
        return
    user, peer = credentials.user, dialogue.peer
    if dialogue.listener.attempts.exhausted(peer.address, dialogue.now):
        dialogue.listener.counts["max_auth_guesses"] += 1
        dialogue.refuse(dialogue.listener.auth_closing, "AUTH", kind=Kind.AUTH_FAILED)
        return
    login = Login(user, credentials.password, peer.address, peer.port, peer.local, dialogue.name)
    dialogue.wait(
        Question(_ask(authenticator, login)), lambda outcome: _checked(dialogue, login, outcome)
    )


async def _ask(authenticator: Authenticator, login: Login) -> bool | GuardError:
    try:
        return await authenticator.check(login)
    except GuardError as error:
        return error


def _checked(dialogue: Dialogue, login: Login, outcome: object) -> None:
    if outcome is True:
        dialogue.facts.authenticated = True
        dialogue.authz = login.user
        dialogue.policy = dialogue.listener.policy.session()
        dialogue.auth_refused = False
        dialogue.say(replies.AUTH_OK.wire)
    elif isinstance(outcome, GuardError):
        message = f"a password could not be checked: {outcome}"
        dialogue.listener.seldom.tell(str(outcome), message, dialogue.now)
        dialogue.refuse(replies.AUTH_UNAVAILABLE, "AUTH")
    else:
        dialogue.listener.attempts.failed(login.peer, login.user, login.password, dialogue.now)
        _wrong(dialogue)


def _wrong(dialogue: Dialogue) -> None:
    """Refuses a log-in; after some of them the session ends, which is no second offence."""
    dialogue.refuse(replies.AUTH_INVALID, "AUTH")
    dialogue.auth_failures += 1
    if dialogue.auth_failures >= dialogue.listener.settings.max_auth_failures:
        dialogue.listener.counts["max_auth_failures"] += 1
        dialogue.end(dialogue.listener.auth_closing)
