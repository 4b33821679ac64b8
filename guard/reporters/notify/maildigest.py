"""A digest as a mail, and the receiver that puts it into our own spool. Pure but for that.

Plain text of ASCII, with the headers that keep other programs from answering it (RFC 3834).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from guard.lib.logs import printable
from guard.lib.timestamps import rfc5322
from guard.reporters.notify.receivers import NotNow
from guard.reporters.notify.settings import MailNotify
from guard.reporters.notify.values import Occasion
from guard.reporters.notify.words import card
from guard.roles import GuardError

_WIDTH = 76  # of a header line (RFC 5322, 2.1.1, wants less than 78)

Put = Callable[[str, str, Sequence[str], bytes], None]
"""Makes a message durable in the spool: id, envelope sender, recipients, the message.

A message of the same id takes the place of the first. Raises GuardError.
"""


class Mailer:
    """Mails digests from `hostname` through `put`."""

    def __init__(self, settings: MailNotify, hostname: str, put: Put) -> None:
        self._settings, self._hostname, self._put = settings, hostname, put

    @property
    def place(self) -> str:
        """To whom."""
        first, *more = self._settings.to
        return first + (f" and {len(more)} more" if more else "")

    def body(self, occasion: Occasion) -> bytes:
        """The whole message."""
        author = self._settings.sender or f"guard@{self._hostname}"
        return message(occasion, author, self._settings.to, self._hostname)

    def deliver(self, id_: str, body: bytes, now: float) -> None:
        """Spools it: from there it is delivered as any accepted mail. Raises NotNow."""
        try:
            self._put(id_, self._settings.sender, self._settings.to, body)
        except GuardError as error:
            raise NotNow(str(error)) from None


def message(occasion: Occasion, author: str, to: Sequence[str], hostname: str) -> bytes:
    """The mail for `occasion`, with CRLF."""
    title, facts = card(occasion)
    lines = [
        f"Date: {rfc5322(occasion.what.time)}",
        f"From: Guard <{author}>",
        *_folded("To", to),
        f"Subject: Guard: {printable(title)}",
        f"Message-ID: <{occasion.id}@{hostname}>",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=us-ascii",
        "Content-Transfer-Encoding: 7bit",
        "",
        printable(title),
        "",
    ]
    for name, text in facts:
        first, *more = [printable(line) for line in text.splitlines()]
        if more:
            lines += [f"{name}:", *(f"    {line}" for line in (first, *more)), ""]
        else:
            lines += [f"{name}: {first}"]
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")


def _folded(name: str, words: Sequence[str]) -> list[str]:
    """A header of several addresses, an address a line where they do not fit in one."""
    line = f"{name}: {', '.join(words)}"
    if len(line) <= _WIDTH:
        return [line]
    return [f"{name}: {words[0]},", *(f" {w}," for w in words[1:-1]), f" {words[-1]}"]
