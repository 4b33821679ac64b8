"""Recognising scanners and other protocols in a session, answering 554 and closing.

Only strangers are looked at. What they said is judged once: an HTTP request is heard to the end
of its header first, because the user agent says more than the method.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from guard.events import Kind
from guard.filters.scanners import Sign
from guard.smtp import replies
from guard.smtp.redact import redact
from guard.smtp.replies import Reply

if TYPE_CHECKING:
    from guard.smtp.session import Dialogue

_HEADER_LINES = 40


class Request:
    """An HTTP request whose header is being heard. `command` is the line that says most."""

    def __init__(self, line: str, sign: Sign) -> None:
        self.command, self.sign = line, sign
        self._lines = 0

    def hear(self, dialogue: Dialogue, line: str) -> bool:
        """Takes a header line; whether that was enough."""
        self._lines += 1
        name, colon, _ = line.partition(":")
        if colon and name.strip().lower() == "user-agent":
            sign = dialogue.listener.signatures.agent(line)
            if sign:
                self.command, self.sign = line, sign
            return True
        return not line or self._lines >= _HEADER_LINES


def address(dialogue: Dialogue) -> bool:
    """Looks at where a client comes from; whether that was the end of it."""
    listener, client = dialogue.listener, dialogue.peer.address
    name = listener.ranges.find(client)
    sign = Sign(name, Kind.SCANNER) if name is not None else None
    if sign is None and (reverse := listener.reverse(client)):
        sign = listener.signatures.reverse(reverse)
    if sign:
        _dismiss(dialogue, sign, None)
    return sign is not None


def first_bytes(dialogue: Dialogue, data: bytes) -> bool:
    """Looks at how a session begins; whether there is nothing to do with `data` (yet)."""
    signatures = dialogue.listener.signatures
    sign = signatures.first(data)
    if sign:
        _dismiss(dialogue, sign, None)
        return True
    return b"\n" not in data and signatures.undecided(data)


def opening(dialogue: Dialogue, line: bytes) -> bool:
    """Looks at the first lines, ends included; whether that was the end of it."""
    heard, signatures = (dialogue.opening or b"") + line, dialogue.listener.signatures
    sign = signatures.opening(heard)
    dialogue.opening = heard if signatures.opens(heard) else None
    if sign:
        _dismiss(dialogue, sign, None)
    return sign is not None


def strange_line(dialogue: Dialogue, line: str) -> bool:
    """Looks at a line that is no command; whether it is answered with that."""
    sign = dialogue.listener.signatures.line(line)
    if sign is None:
        return False
    if sign.name == "HTTP":
        dialogue.request = Request(line, sign)
    else:
        _dismiss(dialogue, sign, line)
    return True


def header_line(dialogue: Dialogue, request: Request, line: str) -> None:
    """A further line of an HTTP request."""
    if request.hear(dialogue, line):
        dialogue.request = None
        _dismiss(dialogue, request.sign, request.command)


def break_off(dialogue: Dialogue, request: Request, rest: bytes) -> None:
    """The request has no end; what there is of its last line, `rest`, may still say something."""
    request.hear(dialogue, rest.decode("ascii", "backslashreplace"))
    dialogue.request = None
    _dismiss(dialogue, request.sign, request.command)


def greeting(dialogue: Dialogue, name: str, line: str) -> bool:
    """Looks at the name after EHLO; whether that was the end of it."""
    sign = dialogue.listener.signatures.greeting(name)
    if sign:
        _dismiss(dialogue, sign, line)
    return sign is not None


def mechanism(dialogue: Dialogue, name: str, initial: str | None) -> bool:
    """Looks at an AUTH mechanism that is not offered; whether that was the end of it."""
    sign = dialogue.listener.signatures.mechanism(f"{name} {initial}" if initial else name)
    if sign:
        # Of the initial response nothing is written.
        _dismiss(dialogue, sign, f"AUTH {name}")
    return sign is not None


@lru_cache(maxsize=256)
def _answer(sign: Sign) -> Reply:
    """What somebody known is told; there are as many as the lists have names."""
    text = replies.SCANNER if sign.kind is Kind.SCANNER else replies.NOT_SMTP
    return replies.reply(text.format(sign.name))


def _dismiss(dialogue: Dialogue, sign: Sign, line: str | None) -> None:
    dialogue.listener.counts[sign.kind.value] += 1
    safe = line and redact(line, exchange=False)
    dialogue.dismiss(_answer(sign), safe, sign.kind)
