"""A body on its way into the spool, given up as soon as it is known to be refused."""

from __future__ import annotations

import logging

from guard.roles import GuardError
from guard.smtp.body import Body
from guard.smtp.incoming import Incoming
from guard.smtp.replies import Reply

log = logging.getLogger("guard.smtp")


class Receiving:
    """`incoming` is None once the message is given up: for its `fault`, else by the disk."""

    __slots__ = ("_body", "incoming")

    def __init__(self, body: Body, incoming: Incoming) -> None:
        self._body = body
        self.incoming: Incoming | None = incoming

    @property
    def fault(self) -> Reply | None:
        """What is wrong with the message itself."""
        return self._body.fault

    def feed(self, data: bytes) -> bytes | None:
        """Takes `data`; returns what follows the message's end, None before that."""
        message, rest = self._body.feed(data)
        if self.incoming and self._body.fault:
            self.abort()
        if self.incoming and message:
            try:
                self.incoming.write(message)
            except GuardError as error:
                log.warning("a message was given up: %s", error)
                self.abort()
        return rest

    def abort(self) -> None:
        """Forgets the message; its end is still waited for."""
        if self.incoming:
            self.incoming.abort()
            self.incoming = None
