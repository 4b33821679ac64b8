"""Log records of delivery: Delivery, TransientFailure, Bounce, Expiration, AdminBounce. Pure.

KumoMTA's members (docs, log record); one record per recipient. A Delivery is also what makes a
host one of good standing: sources read it from the same record.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import msgspec

from guard.lib.timestamps import rfc3339
from guard.mail.client import Tls
from guard.mail.replies import is_permanent, is_success
from guard.mail.resolver import Host
from guard.mail.waiting import Message
from guard.records import PeerAddress, Record, Response


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one recipient in one attempt. `host` None: it came to no conversation."""

    response: Response
    host: Host | None = None
    tls: Tls | None = None
    session_id: str = ""


def kind(outcome: Outcome) -> str:
    """The type of the record."""
    if is_success(outcome.response):
        return "Delivery"
    return "Bounce" if is_permanent(outcome.response) else "TransientFailure"


def record(
    type_: str,
    message: Message,
    recipient: str,
    outcome: Outcome,
    *,
    queue: str,
    site: str,
    now: float,
    nodeid: str,
) -> Record:
    """The record of `outcome`."""
    envelope, host, tls = message.envelope, outcome.host, outcome.tls
    return Record(
        type=type_,
        id=envelope.id,
        sender=envelope.sender,
        recipient=recipient,
        queue=queue,
        site=site,
        size=message.size,
        response=outcome.response,
        peer_address=PeerAddress(host.name, host.address) if host else None,
        timestamp=int(now),
        event_time=rfc3339(now),
        created=int(envelope.created),
        created_time=rfc3339(envelope.created),
        num_attempts=message.state.attempts,
        delivery_protocol="ESMTP" if host else None,
        reception_protocol=envelope.meta.get("reception_protocol"),
        nodeid=nodeid,
        # Readers expect a UUID; without a session the message's id is one.
        session_id=outcome.session_id or str(uuid.UUID(envelope.id)),
        tls_cipher=tls.cipher if tls else msgspec.UNSET,
        tls_protocol_version=tls.version if tls else msgspec.UNSET,
    )
