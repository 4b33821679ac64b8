"""The operator's log: one line an event on stderr, with nothing in it that a peer could forge."""

from __future__ import annotations

import logging
import sys

_LEVELS = {"DEBUG": "<7>", "INFO": "<6>", "WARNING": "<4>", "ERROR": "<3>", "CRITICAL": "<2>"}


def printable(text: str) -> str:
    """`text` on one line: whatever is not a printable ASCII character is escaped."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c if " " <= c <= "~" else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


def legible(text: str) -> str:
    """`text` for a terminal: letters of any language stay, what could steer it is escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else printable(c) for c in text)


class OneLine(logging.Formatter):
    """Escapes the message; a traceback follows on its own lines, each of them escaped."""

    def __init__(self, *, journal: bool) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        message = printable(record.getMessage())
        if self._journal:
            head = f"{_LEVELS.get(record.levelname, '')}{record.name}: {message}"
        else:
            head = f"{self.formatTime(record)} {record.levelname.lower()} {record.name}: {message}"
        if not record.exc_info:
            return head
        trace = self.formatException(record.exc_info).split("\n")
        return "\n".join([head, *(f"    {printable(line)}" for line in trace)])


def set_up(*, verbose: bool, journal: bool) -> None:
    """Sends the log to stderr; `journal` gives systemd's level prefix in place of the time."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine(journal=journal))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    # aiosmtpd logs every command line that a peer sends, at INFO, and says of a bad PROXY header
    # what the listener says better.
    for name in ("mail.log", "mail.debug"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # The URL of a chat's webhook is a secret, and this one logs it: at DEBUG of every request, as a
    # WARNING with a traceback where a server sends odd headers.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    # It logs every change of a watched folder, and the log itself may be a file there; and it calls
    # an error what changes while it ends.
    logging.getLogger("watchdog").setLevel(logging.CRITICAL)
