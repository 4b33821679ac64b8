"""Bytes cut into command lines, in bounded memory and in linear time."""

from __future__ import annotations

import msgspec

from guard.smtp import replies
from guard.smtp.replies import Reply


class Line(msgspec.Struct, frozen=True, gc=False):
    """One line without its end; `fault` is why it is not to be carried out.

    `text` is None where it cannot be shown: too long, or not UTF-8.
    """

    text: str | None
    fault: Reply | None = None


_TOO_LONG = Line(None, replies.LINE_TOO_LONG)
_NOT_UTF8 = Line(None, replies.NOT_UTF8)


class Lines:
    """What a client sent and nobody has read. A line is at most `limit` bytes without its end."""

    __slots__ = ("_at", "_buffer", "_limit", "_overlong")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer, self._at, self._overlong = b"", 0, False

    def add(self, data: bytes) -> None:
        """Appends `data`."""
        unread = self._at < len(self._buffer)
        self._buffer = self._buffer[self._at :] + data if unread else data
        self._at = 0

    def peek(self) -> bytes:
        """How it begins; nothing in the middle of a line that is too long."""
        return b"" if self._overlong else self._buffer[self._at : self._at + 16]

    def take(self) -> bytes:
        """All of it, as bytes."""
        taken = self._buffer[self._at :]
        self.clear()
        return taken

    def clear(self) -> None:
        """Forgets it."""
        self._buffer, self._at = b"", 0

    def next(self) -> Line | None:
        """The next line, or None as long as it has no end."""
        start, buffer = self._at, self._buffer
        if start == len(buffer):
            return None
        end = buffer.find(b"\n", start)
        if end < 0:
            if len(buffer) - start > self._limit + 1:  # a CR may belong to the end
                self._overlong = True
                self.clear()
            return None
        self._at = end + 1
        crlf = end > start and buffer[end - 1] == 13
        raw = buffer[start : end - 1 if crlf else end]
        if self._overlong or len(raw) > self._limit:
            self._overlong = False
            return _TOO_LONG
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            return _NOT_UTF8
        return Line(text) if crlf else Line(text, replies.BARE_LF)
