"""The `Received:` header that is put before a message, in KumoMTA's form (RFC 5321, 4.4)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime

from guard.smtp.listener import Peer, Tls


def received(
    now: float,
    *,
    name: str,
    peer: Peer,
    hostname: str,
    protocol: str,
    tls: Tls | None,
    id_: str,
    recipients: Sequence[str],
) -> bytes:
    """The header, CRLF included. `name` is the EHLO name, empty when there was none."""
    local = peer.local.rpartition(":")[0].strip("[]")
    secured = f" ({tls.version}:{tls.cipher})" if tls else ""
    # With several recipients it would tell each of them of the others (RFC 5321, 7.6).
    for_ = f" for <{recipients[0]}>" if len(recipients) == 1 else ""
    date = format_datetime(datetime.fromtimestamp(int(now), UTC))
    return (
        f"Received: from {name or 'unspecified'} ({peer.text})\r\n"
        f"  by {hostname} (Guard {local})\r\n"
        f"  with {protocol}{secured} id {id_}{for_};\r\n"
        f"  {date}\r\n"
    ).encode()
