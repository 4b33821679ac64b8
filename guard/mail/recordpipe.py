"""Records of several processes, written by one: so that equal ones are collapsed over all of them.

A `Pipe` sends each record as a datagram to the process that has the `Mouth`. It never waits: what
finds no room, or nobody, is written by its own process after all. The datagrams come from our own
processes alone, over a socket that they inherit.
"""

from __future__ import annotations

import asyncio
import logging
import socket

import msgspec

from guard.records import Record
from guard.roles import Sink

log = logging.getLogger("guard.log")
_LONGEST = 1 << 20
_AT_ONCE = 500
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Record).decode


def pair() -> tuple[socket.socket, socket.socket]:
    """(for the mouth, for the pipes), neither of which ever waits."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.settimeout(0)
    theirs.settimeout(0)
    return ours, theirs


class Pipe:
    """A Sink that sends records through `way`, and puts into `itself` what does not go through."""

    def __init__(self, way: socket.socket, itself: Sink) -> None:
        self._way, self._itself = way, itself

    def put(self, record: Record) -> None:
        """Takes `record`. Never raises, never waits."""
        try:
            self._way.send(_pack(record))
        except (OSError, ValueError):
            self._itself.put(record)

    def close(self) -> None:
        """Lets go of this end."""
        self._way.close()


class Mouth:
    """Hands on to `sink` what comes through `way`, from `open` to `close`."""

    def __init__(self, way: socket.socket, sink: Sink) -> None:
        self._way, self._sink = way, sink

    def open(self) -> None:
        """Hears, on the loop that runs."""
        asyncio.get_running_loop().add_reader(self._way, self._hear)

    def close(self) -> None:
        """Takes what is still in the pipe, and hears no more. On the loop."""
        asyncio.get_running_loop().remove_reader(self._way)
        while self._hear():
            pass
        self._way.close()

    def _hear(self) -> bool:
        """Takes some; whether there may be more."""
        for _ in range(_AT_ONCE):
            try:
                data = self._way.recv(_LONGEST)
            except BlockingIOError:
                return False
            try:
                record = _unpack(data)
            except msgspec.MsgspecError as error:
                log.error("a process sent what is no record: %s", error)
                continue
            self._sink.put(record)
        return True
