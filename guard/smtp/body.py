"""The body of DATA: bytes as they arrive become the message, or the reason why it is refused.

The end is exactly CR LF `.` CR LF (RFC 5321 section 4.1.1.4); the CR LF before it may be the one
of the DATA command itself. Everything is judged on whole lines, so that the pieces in which bytes
arrive make no difference. Holds one unfinished line and nothing else.
"""

from __future__ import annotations

import re

from guard.smtp import replies
from guard.smtp.replies import Reply

_END = b"\r\n.\r\n"
_CRLF = b"\r\n"
# For the next server, if it leaves NULs out, it would be the end, and a message begin behind it.
_HIDDEN_END = re.compile(rb"\r\n\x00+\.\x00*(?=\r\n|\Z)")


class Body:
    """One message being received. `size` counts its bytes after dot-unstuffing."""

    __slots__ = ("_bare", "_carry", "_limit", "_line_limit", "_long", "_started", "size")

    def __init__(self, size_limit: int, line_limit: int) -> None:
        self._limit, self._line_limit = size_limit, line_limit
        self._carry = _CRLF  # ends the line before; every line is kept with what ends the last
        self._bare = self._long = self._started = False
        self.size = 0

    @property
    def fault(self) -> Reply | None:
        """Why the message is refused, as far as is known. Among several, KumoMTA's order."""
        if self.size > self._limit:
            return replies.TOO_BIG
        if self._long:
            return replies.LINE_TOO_LONG
        return replies.BARE_LINE_END if self._bare else None

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """Takes `data`. Returns bytes of the message, and what follows its end, None before that.

        What it returns of a message with a `fault` is worth nothing.
        """
        buffer = self._carry + data
        end = buffer.find(_END)
        if end >= 0:
            message = self._lines(buffer[:end])
            if self._started:
                message += _CRLF
                self.size += 2
            return message, buffer[end + len(_END) :]
        last = buffer.rfind(_CRLF)
        message = self._lines(buffer[:last]) if last else b""
        self._carry = self._unfinished(buffer[last:])
        return message, None

    def _lines(self, lines: bytes) -> bytes:
        """Whole lines, each behind a CRLF, judged and unstuffed."""
        if not lines:
            return b""
        pairs = lines.count(_CRLF)
        if lines.count(b"\n") != pairs or lines.count(b"\r") != pairs:
            self._bare = True
        if b"\0" in lines and _HIDDEN_END.search(lines):
            self._bare = True
        # RFC 5321 section 4.5.2: a leading dot is taken off each line.
        lines = lines.replace(b"\r\n.", _CRLF)
        if not self._long and len(lines) > self._line_limit:
            self._long = max(map(len, lines.split(_CRLF))) > self._line_limit
        if not self._started:
            self._started = True
            lines = lines[2:]
        self.size += len(lines)
        return lines

    def _unfinished(self, line: bytes) -> bytes:
        """The last line, behind its CRLF, cut when it is too long already to be kept."""
        # The dot that is taken off and the CR of its end do not count.
        if len(line) <= len(_CRLF) + self._line_limit + 2:
            return line
        self._long = True
        # No CRLF is in it, so that any CR or LF of the part that is dropped stands alone.
        self._bare = self._bare or b"\r" in line[2:-4] or b"\n" in line[2:-4]
        self.size += len(line) - 7
        # The first byte stays: a dot that it was is no end of the message now.
        return line[:3] + line[-4:]
