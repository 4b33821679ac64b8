"""The sockets of one listener, served in turns: hear all that is ready, then answer, then send.

In place of an event loop's transports, which take each connection through all of it, one after
the other. A turn calls the kernel for everybody, then the dialogues of everybody, then the kernel
again, so that each finds its code and data still in the processor's caches: under an attack, when
turns are long, a session costs a third less. Who is alone notices nothing of it.

The event loop, on which all of it happens, watches one descriptor: an epoll of our own. What a
turn takes in is bounded. Knows no SMTP; an exception of a protocol ends its own connection only.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import select
import socket
from collections.abc import Callable, Sequence
from socket import SocketType
from typing import Any

from guard.lib.seldom import Seldom

log = logging.getLogger("guard.smtp")

_EVENTS = 512  # connections that one turn hears
_NEWCOMERS = 128  # that it accepts
_TAKEN = 1 << 20  # bytes after which it hears nobody else
_ROOM = 1 << 16  # bytes that it takes from one connection
_HIGH, _LOW = 1 << 16, 1 << 14  # bytes that wait to be sent: too many, and few enough again
_BREATH = 1.0  # seconds without newcomers when there are no more descriptors, or until some are
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_NOW, _LAST = socket.MSG_DONTWAIT, socket.MSG_DONTWAIT | socket.MSG_MORE
_IN, _OUT = select.EPOLLIN, select.EPOLLOUT


class Wire(asyncio.Transport):
    """One connection, as its protocol sees it. What has to be sent is sent when the turn ends."""

    __slots__ = (
        "_closing",
        "_ended",
        "_full",
        "_local",
        "_out",
        "_peer",
        "_reading",
        "_settling",
        "_sock",
        "_watched",
        "_wires",
        "number",
        "protocol",
    )

    def __init__(self, wires: Wires, sock: SocketType, peer: object, local: object) -> None:
        # On purpose without super().__init__, which would make a dictionary.
        self._wires, self._sock, self._peer, self._local = wires, sock, peer, local
        self.number = sock.fileno()
        self._out = b""
        self._watched = 0  # what epoll tells of it
        self._reading = True
        self._closing = self._ended = self._full = self._settling = False

    # What a protocol calls: asyncio.Transport's.

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`peername` and `sockname`."""
        if name == "peername":
            return self._peer
        return (self._local or self._sock.getsockname()) if name == "sockname" else default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Sends `data`; nothing after `close`."""
        if not self._closing:
            self._out = self._out + data if self._out else bytes(data)
            self.settle()

    def close(self) -> None:
        """Hears nothing more, sends what is left, and ends."""
        self._closing = True
        self.settle()

    def abort(self) -> None:
        """Ends, whatever is left."""
        self._out = b""
        self.close()

    def is_closing(self) -> bool:
        """Whether it ends, or has ended."""
        return self._closing

    def pause_reading(self) -> None:
        """Hears nothing for now."""
        self._reading = False
        self.watch()

    def resume_reading(self) -> None:
        """Hears again; after the client's end of file there is nothing to hear."""
        self._reading = True
        self.watch()

    @property
    def _hears(self) -> bool:
        return self._reading and not (self._full or self._ended or self._closing)

    def settle(self) -> None:
        """Has `send` called when the turn ends."""
        if not self._settling:
            self._settling = True
            self._wires.settle(self)

    # What Wires calls.

    def receive(self) -> bytes | None:
        """What the client said, nothing at its end; None when there is nothing to hear."""
        if not self._hears:
            return None
        try:
            return self._sock.recv(_ROOM, _NOW)
        except BlockingIOError:
            return None
        except OSError:
            self.abort()
            return None

    def hear(self, data: bytes) -> None:
        """Has the protocol hear what was received."""
        if self._closing:
            return
        try:
            if data:
                self.protocol.data_received(data)
                return
            self._ended = True
            self.watch()
            if not self.protocol.eof_received():
                self.close()
        except Exception:  # the connection's edge: our bug must not end others
            self._broke()

    def send(self) -> bool:
        """Sends what it can; whether the connection is over."""
        self._settling = False
        if self._out:
            try:
                # The last words and the end of the connection travel in one packet.
                how = _LAST if self._closing else _NOW
                self._out = self._out[self._sock.send(self._out, how) :]
                if self._closing and not self._out:
                    self._sock.shutdown(socket.SHUT_WR)
            except BlockingIOError:
                pass
            except OSError:
                self._out, self._closing = b"", True
            if self._out or self._watched & _OUT:
                self._wait_to_send()
        return self._closing and not self._out

    def _wait_to_send(self) -> None:
        """Goes on when the client has taken some; a client that takes none is heard no more."""
        waiting, full = len(self._out), self._full
        self._full = waiting > (_LOW if full else _HIGH)
        self.watch()
        try:
            if self._full and not full:
                self.protocol.pause_writing()
            elif full and not self._full:
                self.protocol.resume_writing()
        except Exception:  # as above
            self._broke()

    def watch(self) -> None:
        """Asks epoll for what there is to wait for now."""
        wanted = (_IN if self._hears else 0) | (_OUT if self._out else 0)
        if wanted == self._watched:
            return
        before, self._watched = self._watched, wanted
        try:
            self._wires.watch(self.number, before, wanted)
        except OSError as error:  # the kernel has no room for one more
            self._watched = before
            log.error("a connection cannot be waited for: %s", error.strerror)
            self.abort()

    def begin(self) -> None:
        """Tells the protocol of the connection."""
        try:
            self.protocol = self._wires.factory()
            self.protocol.connection_made(self)
        except Exception:  # as above
            self._broke()

    def release(self) -> None:
        """Gives the descriptor back."""
        self._settling = self._closing = self._ended = True
        self._watched = 0
        self._sock.close()

    def end(self) -> None:
        """Tells the protocol that the connection is gone."""
        self._settling = True  # whatever the protocol does now, this was the last time
        try:
            self.protocol.connection_lost(None)
        except Exception:  # as above
            log.exception("the end of a connection broke")

    def _broke(self) -> None:
        log.exception("a connection broke")
        self.abort()


class Wires:
    """All connections of some listening sockets."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        factory: Callable[[], asyncio.Protocol],
        listening: Sequence[socket.socket],
        begin_turn: Callable[[], None],
    ) -> None:
        """Accepts from `listening` at once; `factory` makes a protocol for each connection, and
        `begin_turn` is called before the protocols hear what a turn brings.
        """
        self._begin_turn = begin_turn
        self.factory, self._loop = factory, loop
        self._listening = {sock.fileno(): sock for sock in listening}
        self._locals = {number: _local(sock) for number, sock in self._listening.items()}
        self._wires: dict[int, Wire] = {}
        self._unsettled: list[Wire] = []
        self._in_turn = False
        self._epoll = select.epoll()
        self._rest: asyncio.TimerHandle | None = None
        self._seldom = Seldom(log.error)
        self._accept_again()
        loop.add_reader(self._epoll.fileno(), self._turn)

    @property
    def addresses(self) -> list[Any]:
        """What is listened on, as `getsockname` says it."""
        return [sock.getsockname() for sock in self._listening.values()]

    def close(self) -> None:
        """Accepts who waits already, and nobody after them; connections go on."""
        if self._rest:
            self._rest.cancel()
            self._rest = None
        waiting: list[Wire] = []
        for number in tuple(self._listening):
            self._accept(number, waiting)
        for wire in waiting:
            wire.begin()
            wire.watch()
        for sock in self._listening.values():
            sock.close()
        self._listening = {}

    def end(self) -> None:
        """Ends what is left."""
        self.close()
        for wire in tuple(self._wires.values()):
            wire.abort()
        self._settle_all()
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    # For Wire.

    def settle(self, wire: Wire) -> None:
        """Calls `wire.send` when the turn ends."""
        if not (self._unsettled or self._in_turn):
            self._loop.call_soon(self._settle_all)
        self._unsettled.append(wire)

    def watch(self, number: int, before: int, wanted: int) -> None:
        """Has epoll tell of other events. Those without any are left out: it tells all of HUP."""
        if not wanted:
            self._epoll.unregister(number)
        elif before:
            self._epoll.modify(number, wanted)
        else:
            self._epoll.register(number, wanted)

    # A turn.

    def _turn(self) -> None:
        self._in_turn = True
        try:
            newcomers = self._hear()
            self._settle_all()
            for wire in newcomers:
                wire.watch()
        finally:
            self._in_turn = False
            if self._unsettled:
                self._loop.call_soon(self._settle_all)

    def _hear(self) -> list[Wire]:
        """Hears everybody who has something to say; who is new."""
        newcomers: list[Wire] = []
        heard: list[tuple[Wire, bytes]] = []
        wires, taken = self._wires, 0
        for number, events in self._epoll.poll(0, _EVENTS):
            wire = wires.get(number)
            if wire is None:
                self._accept(number, newcomers)
                continue
            if events != _IN:
                wire.settle()  # it can be written to, or is broken: sending tells
            if taken < _TAKEN and (data := wire.receive()) is not None:
                heard.append((wire, data))
                taken += len(data)
        self._begin_turn()
        for wire in newcomers:
            wire.begin()
        for wire, data in heard:
            wire.hear(data)
        return newcomers

    def _accept(self, number: int, newcomers: list[Wire]) -> None:
        """Takes in who waits at a listening socket."""
        listening, local = self._listening.get(number), self._locals.get(number)
        if listening is None:
            return
        for _ in range(_NEWCOMERS):
            try:
                # What socket.accept does, without the slower class that it wraps around.
                accepted, peer = listening._accept()  # type: ignore[attr-defined]  # noqa: SLF001
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._rest_from_newcomers(error)
                    return
                continue  # it is gone again
            sock = SocketType(listening.family, socket.SOCK_STREAM, 0, accepted)
            wire = self._wires[accepted] = Wire(self, sock, peer, local)
            newcomers.append(wire)

    def _rest_from_newcomers(self, error: OSError) -> None:
        if self._rest:
            return
        message = f"cannot accept connections: {error.strerror}"
        self._seldom.tell("accept", message, self._loop.time())
        for number in self._listening:
            self._epoll.unregister(number)
        self._rest = self._loop.call_later(_BREATH, self._accept_again)

    def _accept_again(self) -> None:
        if self._rest:
            self._rest.cancel()
        self._rest = None
        for number in self._listening:
            self._epoll.register(number, _IN)

    def _settle_all(self) -> None:
        unsettled, self._unsettled = self._unsettled, []
        # One that `send` itself cut off is asked to settle again, and may be gone by then.
        here = self._wires
        over = [w for w in unsettled if here.get(w.number) is w and w.send()]
        for wire in over:  # what follows from it is done when the client sees it
            wire.end()
        for wire in over:
            del self._wires[wire.number]
            wire.release()
        if over and self._rest:
            self._accept_again()


def _local(sock: socket.socket) -> Any:
    """Our end of all connections of `sock`; None where it listens on every address."""
    name = sock.getsockname()
    return None if name[0] in ("0.0.0.0", "::") else name
