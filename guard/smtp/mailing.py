"""MAIL, RCPT, DATA and RSET: the commands of a mail transaction, as KumoMTA answers them.

Where they depart from KumoMTA, the comment says so. The relay verdict is the policy's; whether a
message is a report is the report reader's.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

from aiosmtpd.smtp import Envelope

from guard.records import Record
from guard.relay.reports import ReportReader
from guard.relay.verdict import Asked, Verdict
from guard.roles import GuardError
from guard.smtp import replies
from guard.smtp.body import Body
from guard.smtp.commands import Address, Command, declared_size
from guard.smtp.incoming import Accepted, Incoming
from guard.smtp.pending import Question, Work
from guard.smtp.received import received
from guard.smtp.receiving import Receiving
from guard.smtp.replies import reply

if TYPE_CHECKING:
    from guard.smtp.session import Dialogue

log = logging.getLogger("guard.smtp")


class Transaction(Envelope):
    """aiosmtpd's envelope, and the verdict that all its recipients share."""

    # Most end at their first RCPT: what they have no use for begins as the class's.
    content = original_content = None
    smtp_utf8 = False
    queue = ""
    verdict: Verdict | None = None

    def __init__(self, sender: Address) -> None:
        # On purpose without super().__init__, for the same reason.
        self.mail_from: str = str(sender)
        self.sender_domain = sender.domain
        self.rcpt_tos: list[str] = []

    @property
    def last(self) -> str:
        """The recipient accepted last, or nothing."""
        return self.rcpt_tos[-1] if self.rcpt_tos else ""


def mail(dialogue: Dialogue, command: Command, line: str) -> None:
    """MAIL FROM."""
    if dialogue.transaction:
        dialogue.refuse(replies.MAIL_TWICE, line)
    elif not (dialogue.name or dialogue.trusted) and dialogue.listener.settings.require_ehlo:
        dialogue.refuse(replies.EHLO_FIRST, line)
    elif declared_size(command.parameters) > dialogue.listener.settings.max_message_size:
        dialogue.refuse(replies.TOO_BIG, line)  # RFC 1870, section 6.1; KumoMTA offers no SIZE
    else:
        transaction = dialogue.transaction = Transaction(command.address)
        if command.parameters:
            transaction.smtp_utf8 = "SMTPUTF8" in map(str.upper, command.parameters)
        dialogue.say(f"250 OK <{transaction.mail_from}>\r\n".encode())


def rset(dialogue: Dialogue, _command: Command, _line: str) -> None:
    """RSET."""
    dialogue.transaction = None
    dialogue.say(replies.RESET.wire)


def rcpt(dialogue: Dialogue, command: Command, line: str) -> None:
    """RCPT TO."""
    transaction = dialogue.transaction
    if not transaction:
        dialogue.refuse(replies.MAIL_FIRST, line)
        return
    address, peer = command.address, dialogue.peer
    asked = Asked(
        peer.address,
        peer.port,
        peer.local,
        transaction.sender_domain,
        address.domain,
        dialogue.name,
        dialogue.authz,
    )
    verdict = dialogue.policy.check(asked)
    if isinstance(verdict, Verdict):
        _judge(dialogue, transaction, address, line, verdict)
    else:
        dialogue.wait(
            Question(verdict),
            lambda answer: _judge(dialogue, transaction, address, line, cast("Verdict", answer)),
        )


def _judge(
    dialogue: Dialogue, transaction: Transaction, address: Address, line: str, verdict: Verdict
) -> None:
    """Answers RCPT. The order of the checks is KumoMTA's."""
    settings = dialogue.listener.settings
    if verdict.failed:
        dialogue.refuse(dialogue.listener.technical, line)
    elif not verdict.accepts:
        dialogue.failed_recipients += 1
        dialogue.refuse(replies.relay_denied(dialogue.peer.name), line)
    elif len(transaction.rcpt_tos) >= settings.max_recipients_per_message:
        dialogue.refuse(replies.TOO_MANY_RECIPIENTS, line)
    elif dialogue.accepted >= settings.max_messages_per_connection:
        closing = not transaction.rcpt_tos
        dialogue.listener.counts["max_messages_per_connection"] += 1
        dialogue.refuse(
            dialogue.listener.too_many_closing if closing else replies.TOO_MANY_ON_CONNECTION, line
        )
    elif transaction.verdict and not _same(transaction.verdict, verdict):
        # KumoMTA accepts it and then drops one of the copies in silence.
        dialogue.refuse(replies.OTHER_VERDICT, line)
    else:
        dialogue.accepted += 1
        transaction.verdict = verdict
        transaction.queue = transaction.queue or address.domain
        transaction.rcpt_tos.append(str(address))
        dialogue.say(f"250 OK <{address}>\r\n".encode())


def _same(one: Verdict, other: Verdict) -> bool:
    """Whether one copy of a message can serve both."""
    return (one.relay, one.log_oob, one.log_arf) == (other.relay, other.log_oob, other.log_arf)


def data(dialogue: Dialogue, _command: Command, line: str) -> None:
    """DATA."""
    transaction, settings = dialogue.transaction, dialogue.listener.settings
    if not transaction:
        dialogue.refuse(replies.MAIL_FIRST, line)
    elif not transaction.verdict:
        dialogue.refuse(replies.RCPT_FIRST, line)
    else:
        try:
            incoming = _begin(dialogue, transaction, transaction.verdict)
        except GuardError as error:
            log.warning("a message of %s was refused: %s", dialogue.peer.text, error)
            dialogue.refuse(replies.SPOOL_CLOSED, line)
            dialogue.transaction = None
            return
        body = Body(settings.max_message_size, settings.line_length_hard_limit)
        dialogue.receiving = Receiving(body, incoming)
        dialogue.say(replies.SEND_BODY.wire)


def _protocol(dialogue: Dialogue) -> str:
    if not dialogue.encrypted:
        return "ESMTP"
    return "ESMTPSA" if dialogue.authz is not None else "ESMTPS"  # RFC 3848


def _begin(dialogue: Dialogue, transaction: Transaction, verdict: Verdict) -> Incoming:
    """A message with its `Received:` header written. Raises Unavailable."""
    hostname, protocol = dialogue.listener.settings.hostname, _protocol(dialogue)
    meta = {
        "received_from": dialogue.peer.name,
        "received_via": dialogue.peer.local,
        "hostname": hostname,
        "ehlo_domain": dialogue.name,
        "reception_protocol": protocol,
    }
    if dialogue.authz is not None:
        meta["authz_id"] = dialogue.authz
    if transaction.smtp_utf8:
        meta["smtputf8"] = "true"  # delivery has to keep it (RFC 6531, 3.4)
    incoming = Incoming(
        dialogue.listener.spool, transaction.mail_from, transaction.rcpt_tos, meta, verdict
    )
    header = received(
        dialogue.now,
        name=dialogue.name,
        peer=dialogue.peer,
        hostname=hostname,
        protocol=protocol,
        tls=dialogue.recorder.tls,
        id_=incoming.id,
        recipients=transaction.rcpt_tos,
    )
    try:
        incoming.write(header)
    except GuardError:
        incoming.abort()
        raise
    return incoming


def end_of_data(dialogue: Dialogue) -> None:
    """The body is there, whole. With KumoMTA some refusals leave the transaction open: not here."""
    receiving, dialogue.receiving = dialogue.receiving, None
    transaction = dialogue.transaction
    assert receiving and transaction
    incoming = receiving.incoming
    if incoming is None:
        fault = receiving.fault or replies.NOT_STORED
        # In KumoMTA's records these two still know the transaction, the others do not.
        if fault is not replies.TOO_BIG and fault is not replies.LINE_TOO_LONG:
            dialogue.transaction = None
        dialogue.refuse(fault, "DATA")
        dialogue.transaction = None
        return
    dialogue.transaction = None
    reception = dialogue.recorder.reception(
        dialogue.now,
        name=dialogue.name,
        id_=incoming.id,
        sender=transaction.mail_from,
        recipients=transaction.rcpt_tos,
        queue=transaction.queue,
        size=incoming.size,
        protocol=_protocol(dialogue),
        known=dialogue.authz is not None,
    )
    reader = dialogue.listener.reports

    def stored(outcome: object) -> None:
        _stored(dialogue, outcome)

    dialogue.wait(Work(lambda: _finish(incoming, reception, reader)), stored)


def _stored(dialogue: Dialogue, outcome: object) -> None:
    if isinstance(outcome, Accepted):
        dialogue.commands = 0  # whoever sends mail may go on
        dialogue.record(*outcome.records)
        dialogue.say(reply(f"250 OK ids={outcome.id}").wire)
    elif isinstance(outcome, GuardError):
        log.warning("a message of %s was not stored: %s", dialogue.peer.text, outcome)
        dialogue.refuse(replies.NOT_STORED, "DATA")
    else:
        dialogue.refuse(replies.NOT_A_REPORT, "DATA")


def _finish(
    incoming: Incoming, reception: Record, reader: ReportReader
) -> Accepted | GuardError | None:
    """Runs in a worker thread."""
    try:
        return incoming.finish(reception, reader)
    except GuardError as error:
        return error
    finally:
        incoming.abort()  # nothing is left of it, unless it was kept
