"""Bounces that we write: delivery status notifications of RFC 3464 and RFC 6533. Pure.

Sent to the envelope sender when a message cannot be delivered; never for the null sender, which
every bounce has itself, so that no bounce bounces (RFC 5321, 6.1).
"""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from guard.lib.logs import printable
from guard.lib.timestamps import rfc5322
from guard.mail.mime import parse_part
from guard.mail.replies import one_line
from guard.records import Response

_LONGEST_HEAD = 32 * 1024
_LONGEST_REPLY = 600


@dataclass(frozen=True, slots=True)
class Failure:
    """A recipient that is given up. `host` is who said so, empty where nobody did."""

    recipient: str
    response: Response
    host: str
    expired: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounce:
    """All that a bounce says. `head` is the header section of the message; times are seconds."""

    id: str
    hostname: str
    sender: str
    created: float
    now: float
    failures: Sequence[Failure]
    head: bytes


def bounce_id(id_: str, attempts: int) -> str:
    """The id of the bounce of this attempt: the same after a crash, so that there is one."""
    return id_[:12] + hashlib.sha256(f"{id_}.{attempts}".encode()).hexdigest()[:20]


def is_bounce(head: bytes) -> bool:
    """Whether the message with these headers is itself a delivery status notification."""
    kind = parse_part(head).content_type
    report = kind.parameters.get("report-type", "")
    return kind.value.lower() == "multipart/report" and report.lower() == "delivery-status"


def write(bounce: Bounce) -> bytes:
    """The whole message, with CRLF."""
    boundary = f"guard/{bounce.id}"  # at most 70 characters (RFC 2046, 5.1.1)
    utf8 = not all(failure.recipient.isascii() for failure in bounce.failures)
    status = "message/global-delivery-status" if utf8 else "message/delivery-status"
    head = bounce.head
    if len(head) > _LONGEST_HEAD:
        head = head[: head.rfind(b"\n", 0, _LONGEST_HEAD) + 1].rstrip(b"\r\n")
    returned = "text/rfc822-headers" if head.isascii() else "message/global-headers"
    return b"".join(
        [
            _text([*_header(bounce, boundary), ""]),
            _part(boundary, "text/plain; charset=utf-8", _text(_explanation(bounce))),
            _part(boundary, status, _text(_status(bounce))),
            _part(boundary, returned, head + b"\r\n"),
            _text([f"--{boundary}--"]),
        ]
    )


def _text(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode()


def _header(bounce: Bounce, boundary: str) -> Iterator[str]:
    date = rfc5322(bounce.now)
    yield f"Received: by {bounce.hostname} (Guard) id {bounce.id}; {date}"
    yield f"Date: {date}"
    yield f"From: Mail Delivery Subsystem <mailer-daemon@{bounce.hostname}>"
    yield f"To: <{bounce.sender}>"
    yield "Subject: Returned mail"
    yield f"Message-ID: <{bounce.id}@{bounce.hostname}>"
    yield "Auto-Submitted: auto-replied"  # RFC 3834, 5
    yield "MIME-Version: 1.0"
    yield (
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary="{boundary}"'
    )


def _part(boundary: str, kind: str, body: bytes) -> bytes:
    encoding = "7bit"
    if not body.isascii():
        # RFC 6533, 4 to 6, allows it for all three, and a server without 8BITMIME takes it.
        encoding, body = "quoted-printable", binascii.b2a_qp(body, istext=True)
    head = [
        f"--{boundary}",
        f"Content-Type: {kind}",
        f"Content-Transfer-Encoding: {encoding}",
        "",
    ]
    return _text(head) + body + b"\r\n"


def _explanation(bounce: Bounce) -> Iterator[str]:
    yield f"Your message of {rfc5322(bounce.created)} could not be delivered"
    yield f"by {bounce.hostname} to the following recipients."
    for failure in bounce.failures:
        yield ""
        yield f"<{failure.recipient}>"
        if failure.expired:
            yield "    It was tried for a long time without success. The last reason was:"
        yield f"    {f'{failure.host} said: ' if failure.host else ''}{_reply(failure.response)}"
    yield ""
    yield "No further attempt will be made."


def _status(bounce: Bounce) -> Iterator[str]:
    """RFC 3464, 2.2 and 2.3."""
    yield f"Reporting-MTA: dns; {bounce.hostname}"
    yield f"Arrival-Date: {rfc5322(bounce.created)}"
    for failure in bounce.failures:
        address = failure.recipient
        yield ""
        yield f"Final-Recipient: {'rfc822' if address.isascii() else 'utf-8'}; {address}"
        yield "Action: failed"
        yield f"Status: {_code(failure)}"
        if failure.host:
            yield f"Remote-MTA: dns; {failure.host}"
        yield f"Diagnostic-Code: smtp; {_reply(failure.response)}"
        yield f"Last-Attempt-Date: {rfc5322(bounce.now)}"


def _code(failure: Failure) -> str:
    if failure.expired:
        return "5.4.7"  # RFC 3463, 3.5: delivery time expired
    code = failure.response.enhanced_code
    if code is None or code.class_ != 5:
        return "5.0.0"
    return f"{code.class_}.{code.subject}.{code.detail}"


def _reply(response: Response) -> str:
    """A stranger's words, on one line of ASCII."""
    return printable(one_line(response))[:_LONGEST_REPLY]
