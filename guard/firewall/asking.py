"""Questions to the firewall's process and its answers, in order, over one socket.

A question may be posted: its answer is waited for by the next call, so that the other process works
on it while this one goes on. What comes back is read as strictly as what goes there. One thread.
"""

from __future__ import annotations

import socket
import struct
from collections import deque

from guard.events import Block
from guard.firewall import wire
from guard.firewall.wire import BadMessage, Verb
from guard.roles import Forbidden, GuardError, Lost, Refused, Unavailable

# A million elements take four seconds on a slow machine; nothing takes minutes.
_PATIENCE = struct.pack("ll", 300, 0)
# Answers that nobody reads fill a socket, and then the other process would wait for this one.
_POSTED = 32


class Asking:
    """Asks over `connection`, whose other end is warden.py."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket, self._number, self._inbox = connection, 0, wire.Inbox()
        # The kernel's own limits: Python's cost a system call more a message.
        for limit in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            connection.setsockopt(socket.SOL_SOCKET, limit, _PATIENCE)
        self._buffer = bytearray(wire.PACKET + 1)
        self._posted: deque[int] = deque()

    def hello(self) -> bytes:
        """What the process says of itself at its start."""
        return self._answer(0)

    def ask(self, verb: Verb, body: bytes = b"", group: int = 0) -> bytes:
        """The answer to a question. Raises what the back end raised there."""
        self.settle()
        return self._answer(self._send(verb, body, group))

    def block(self, block: Block, now: float, group: int) -> None:
        """Has one network blocked: half of what it costs to ask for a change."""
        if self._posted:
            self.settle()
        number = self._next()
        try:
            self._socket.send(wire.single(number, group, now, block))
            size = self._socket.recv_into(self._buffer)
        except OSError as error:
            raise _gone() from error
        if self._buffer[:size] != wire.done(number):
            self._answer(number, have=size)

    def post(self, verb: Verb, body: bytes, group: int = 0) -> None:
        """Asks, and leaves the answer to `settle`."""
        if len(self._posted) >= _POSTED:
            self.settle()
        self._posted.append(self._send(verb, body, group))

    def settle(self) -> None:
        """Hears the answers to all that was posted. Raises the first failure of them."""
        failure: GuardError | None = None
        while self._posted:
            try:
                self._answer(self._posted.popleft())
            except GuardError as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def _next(self) -> int:
        if self._socket.fileno() < 0:
            raise Refused("the firewall's process was closed")
        self._number = self._number + 1 & 0xFFFFFFFF or 1
        return self._number

    def _send(self, verb: Verb, body: bytes, group: int) -> int:
        number = self._next()
        try:
            for packet in wire.packets(number, verb, body, group):
                self._socket.send(packet)
        except OSError as error:
            raise _gone() from error
        return number

    def _answer(self, number: int, have: int | None = None) -> bytes:
        """The answer to that question; `have` is the size of a packet that is in the buffer."""
        while True:
            packet, have = self._packet(have), None
            if number and (packet.number == 0 or packet.verb is Verb.HELLO):
                self._begun_anew(packet)
            body = self._inbox.put(packet) if packet.number == number else None
            if body is None:
                continue
            if packet.verb is Verb.FORBIDDEN:
                raise Forbidden(body.decode(errors="replace"))
            if packet.verb is Verb.REFUSED:
                raise Refused(body.decode(errors="replace"))
            if packet.verb is Verb.UNAVAILABLE:
                raise Unavailable(body.decode(errors="replace"))
            return body

    def _begun_anew(self, packet: wire.Packet) -> None:
        """It died: what it was asked last may or may not have been done."""
        self._posted.clear()
        if packet.verb is Verb.HELLO:
            raise Unavailable("the firewall's process was restarted")
        why = packet.body.decode(errors="replace")
        raise Unavailable(f"the firewall's process died, and cannot begin again yet: {why}")

    def _packet(self, have: int | None) -> wire.Packet:
        try:
            size = self._socket.recv_into(self._buffer) if have is None else have
        except OSError as error:
            raise _gone() from error
        if not size:
            raise _gone()
        try:
            return wire.packet(bytes(memoryview(self._buffer)[:size]))
        except BadMessage as error:
            raise Unavailable(f"the firewall's process answers nonsense: {error}") from error


def _gone() -> Lost:
    return Lost("the firewall's process is gone; bans stay, restart Guard for new ones")
