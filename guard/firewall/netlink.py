"""Just enough nfnetlink to change the kernel's sets: pack messages, send a batch, read the answer.

A message by hand costs the kernel's 20 microseconds; a library that builds a tree of objects per
message costs ten times that, a program per ban a hundred times. Every byte packed here is made from
integers and from names of ours. Only the kernel's answers are parsed. Layouts: linux/netlink.h,
linux/netfilter/nfnetlink.h. The socket belongs to the network namespace of the thread that made it.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import suppress
from functools import cache
from itertools import islice
from typing import TypeVar

from guard.roles import Forbidden, Refused, Unavailable

T = TypeVar("T")
REQUEST, ACK, EXCL, CREATE, DUMP = 0x1, 0x4, 0x200, 0x400, 0x300
NESTED, BIG_ENDIAN = 0x8000, 0x4000
NETLINK_NETFILTER = 12
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_SOL_NETLINK, _STRICT = 270, 12
_ERROR, _DONE, _DUMP_INTR = 2, 3, 0x10
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_HEADER = struct.Struct("=IHHII")
_GENERIC = struct.Struct(">BBH")
_ACKNOWLEDGED = struct.Struct("=IHHIIi")
_NUMBER = struct.Struct("=I").pack_into
_ATTRIBUTE = struct.Struct("=HH")
_TIMEOUT = struct.pack("ll", 60, 0)
_RECEIVE = 1 << 17
_TRIES = 20
# Every message is answered; so many answers fit in a socket's buffer before anybody reads them.
_UNANSWERED = 100


class KernelError(Exception):
    """The kernel said no; `code` is the errno of the first message that failed."""

    def __init__(self, code: int) -> None:
        super().__init__(os.strerror(code))
        self.code = code


def attribute(kind: int, data: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    return _ATTRIBUTE.pack(4 + len(data), kind) + data + bytes(-len(data) % 4)


def text(kind: int, value: str) -> bytes:
    """An attribute that holds a name, with the zero that the kernel expects."""
    return attribute(kind, value.encode("ascii") + b"\0")


def message(kind: int, flags: int, family: int, body: bytes, resource: int = 0) -> bytes:
    """A whole nfnetlink message; `kind` is subsystem << 8 | command. Numbered when it is sent."""
    return request(kind, flags, _GENERIC.pack(family, 0, resource) + body)


def request(kind: int, flags: int, body: bytes) -> bytes:
    """A whole message of any netlink protocol."""
    return _HEADER.pack(_HEADER.size + len(body), kind, flags | REQUEST, 0, 0) + body


def attributes(data: bytes | memoryview, start: int = 0) -> Iterator[tuple[int, memoryview]]:
    """The attributes in `data` from `start` on, without the flag bits of their kinds."""
    view, at, end = memoryview(data), start, len(data)
    while at + 4 <= end:
        size, kind = _ATTRIBUTE.unpack_from(view, at)
        if size < 4:
            return
        yield kind & 0x3FFF, view[at + 4 : at + size]
        at += size + (-size % 4)


class Prepared:
    """A transaction of one message of `subsystem`, packed once and sent again and again.

    Between two times its sender may change what is in `data`, where the message begins at `start`.
    """

    __slots__ = ("data", "numbers", "start")

    def __init__(self, subsystem: int, plain: bytes) -> None:
        begin, end = _brackets(subsystem)
        self.data = bytearray(begin + plain + end)
        self.start = len(begin)
        _flag(self.data, ACK, self.start)
        self.numbers = (8, self.start + 8, self.start + len(plain) + 8)


class Netlink:
    """One netlink socket. Not for two threads at once."""

    def __init__(self, protocol: int = NETLINK_NETFILTER) -> None:
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
        except OSError as error:
            raise Refused(f"this kernel offers no netfilter netlink: {error.strerror}") from error
        self._socket.bind((0, 0))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEOUT)
        with suppress(OSError):  # from Linux 4.20 on: has a dump heed what it is asked for
            self._socket.setsockopt(_SOL_NETLINK, _STRICT, 1)
        self._sequence = 0
        # Kept: making one this big for each answer takes as long as the kernel does.
        self._buffer = bytearray(_RECEIVE)
        self._room = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 2

    def close(self) -> None:
        """Lets the socket go; safe to repeat."""
        self._socket.close()

    def send(self, messages: Iterable[bytes], forgive: Container[int] = ()) -> None:
        """Sends `messages`, each one a change of its own, many in one system call.

        Raises KernelError with the first failure that is not one of `forgive`; the messages that
        were sent with it are carried out all the same.
        """
        rest = iter(messages)
        while chunk := list(islice(rest, _UNANSWERED)):
            # What fails is answered in any case, and what is answered last was asked last.
            numbered, first, last = self._number(chunk)
            _flag(numbered[-1], ACK)
            self._write(numbered)
            self._answers(first, last, forgive)

    def transact(self, subsystem: int, messages: Iterable[bytes]) -> bool:
        """Carries out all `messages` of `subsystem`, or none and raises KernelError.

        False when there were no messages, and so no transaction.
        """
        begin, end = _brackets(subsystem)
        # The kernel answers for the last message only after the commit (nfnetlink_rcv_batch).
        numbered, first, last = self._number([begin, *messages])
        if last == first:
            return False
        _flag(numbered[-1], ACK)
        tail, _, _ = self._number([end])
        self._write(numbered + tail)
        self._answers(first, last)
        return True

    def transact_again(self, prepared: Prepared) -> None:
        """As `transact`, without packing anything: half the cost of a single ban."""
        first, data = self._sequence + 1, prepared.data
        self._sequence += 3
        for number, place in enumerate(prepared.numbers, first):
            _NUMBER(data, place, number & 0xFFFFFFFF)
        try:
            self._socket.send(data)
            size = self._socket.recv_into(self._buffer)
        except OSError as error:
            raise _explain(error) from error
        if size >= _ACKNOWLEDGED.size:
            _, kind, _, number, _, code = _ACKNOWLEDGED.unpack_from(self._buffer)
            if kind == _ERROR and number == first + 1 and code == 0:
                return
        self._answers(first, first + 1, have=size)

    def dump(self, asked: bytes, skip: int = _GENERIC.size) -> list[memoryview]:
        """What follows the protocol's header in each answer to `asked`, a message with DUMP.

        That header has `skip` bytes, as nfnetlink's has. A dump that a change interrupted is
        taken again.
        """
        return self.dump_as(lambda body: body, asked, skip)

    def dump_as(
        self, read: Callable[[memoryview], T], asked: bytes, skip: int = _GENERIC.size
    ) -> list[T]:
        """The same, each as `read` reads it: a third of the memory where there are a million."""
        for _ in range(_TRIES):
            numbered, _, last = self._number([asked])
            self._write(numbered)
            found, whole = self._dumped(last, skip, read)
            if whole:
                return found
        raise Unavailable("the kernel's sets change too fast to be read")

    def ask(self, asked: bytes) -> memoryview:
        """What follows the nfnetlink header in the one answer to `asked`."""
        numbered, _, last = self._number([asked])
        self._write(numbered)
        for kind, sequence, _, body in self._read():
            if sequence == last and kind == _ERROR:
                raise _refusal(-struct.unpack_from("=i", body)[0])
            if sequence == last:
                return body[_GENERIC.size :]
        raise Unavailable("the kernel did not answer over netlink")

    def _number(self, messages: Iterable[bytes]) -> tuple[list[bytearray], int, int]:
        numbered, first = [], self._sequence + 1
        for plain in messages:
            self._sequence += 1
            buffer = bytearray(plain)
            _NUMBER(buffer, 8, self._sequence & 0xFFFFFFFF)
            numbered.append(buffer)
        return numbered, first, self._sequence

    def _write(self, messages: list[bytearray]) -> None:
        data = b"".join(messages)
        try:
            if len(data) > self._room:
                # A batch is one datagram, and the kernel's default limit is 200 KB.
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, len(data) + 65536)
                self._room = len(data)
            self._socket.send(data)
        except OSError as error:
            raise _explain(error) from error

    def _read(self, have: int = 0) -> Iterator[tuple[int, int, int, memoryview]]:
        """(type, sequence, flags, body) of every message until the caller has enough.

        `have` is how much of the buffer has been read into it already.
        """
        while True:
            try:
                received = have or self._socket.recv_into(self._buffer)
            except OSError as error:
                raise _explain(error) from error
            data = memoryview(bytes(memoryview(self._buffer)[:received]))
            have = at = 0
            while at + _HEADER.size <= len(data):
                size, kind, flags, sequence, _ = _HEADER.unpack_from(data, at)
                if size < _HEADER.size:
                    break
                yield kind, sequence, flags, data[at + _HEADER.size : at + size]
                at += size + (-size % 4)

    def _answers(self, first: int, last: int, forgive: Container[int] = (), have: int = 0) -> None:
        """Reads until the answer to `last`; an error for `first` speaks of the whole batch."""
        failure = 0
        for kind, sequence, _, body in self._read(have):
            # What is left of a request that was given up carries an older number.
            if kind != _ERROR or not first <= sequence <= last:
                continue
            code = -struct.unpack_from("=i", body)[0]
            failure = failure or (0 if code in forgive else code)
            if sequence == last or (sequence == first and failure):
                break
        if failure:
            raise _refusal(failure)

    def _dumped(
        self, sequence: int, skip: int, read: Callable[[memoryview], T]
    ) -> tuple[list[T], bool]:
        found: list[T] = []
        whole = True
        for kind, number, flags, body in self._read():
            if number != sequence:
                continue
            whole = whole and not flags & _DUMP_INTR
            if kind in (_ERROR, _DONE):
                code = -struct.unpack_from("=i", body)[0] if len(body) >= 4 else 0
                if code and code != errno.EINTR:
                    raise _refusal(code)
                return found, whole and not code
            found.append(read(body[skip:]))
        return found, False


@cache
def _brackets(subsystem: int) -> tuple[bytes, bytes]:
    """What begins and what ends a batch."""
    begin = message(_BATCH_BEGIN, 0, 0, b"", subsystem)
    return begin, message(_BATCH_END, 0, 0, b"", subsystem)


def _flag(buffer: bytearray, flag: int, start: int = 0) -> None:
    flags = struct.unpack_from("=H", buffer, start + 6)[0]
    struct.pack_into("=H", buffer, start + 6, flags | flag)


def _refusal(code: int) -> Exception:
    if code == errno.EPERM:
        return Forbidden("changing the kernel's firewall needs root or CAP_NET_ADMIN")
    return KernelError(code)


def _explain(error: OSError) -> Exception:
    if error.errno in (errno.EPERM, errno.EACCES):
        return Forbidden("changing the kernel's firewall needs root or CAP_NET_ADMIN")
    if error.errno in (errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM):
        return Unavailable(f"the kernel does not answer over netlink: {error.strerror}")
    return KernelError(error.errno or errno.EIO)
