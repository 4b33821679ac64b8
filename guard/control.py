"""How the commands meet a running daemon: JSON lines over a unix socket.

A request is `{"do": NAME, ...arguments}`, an answer `{"result": ...}` or `{"error": TEXT, "code":
EXIT CODE}`; before it come any number of `{"part": ...}` where what is asked for is long. Who may
use the socket may do everything: its mode is 0660, its group the daemon's until an operator changes
it. The kernel says who asks: root, the daemon's own user and members of that group are answered,
nobody else, whatever becomes of the mode. Requests are not strangers' bytes, yet a bad one gets an
error and never stops the daemon.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import ExitStack, aclosing, contextmanager
from pathlib import Path
from pwd import getpwuid
from struct import Struct, unpack
from typing import Any, Self

import msgspec

from guard.roles import BadInput, Forbidden, GuardError, Refused, Unavailable

log = logging.getLogger("guard.control")
Do = Callable[[str, dict[str, Any]], Awaitable[Any]]
LIMIT = 1 << 20
TIMEOUT = 30.0
# Seconds, for what waits for servers of others.
PATIENCE = {"feeds_sync": 900.0, "report_send": 900.0, "report_clear": 180.0}


_ERRORS: dict[int, type[GuardError]] = {65: BadInput, 77: Forbidden}


class NoDaemon(Unavailable):
    """Nobody listens at the socket."""


_REFUSED = b'{"error": "not permitted: you are not in the group of the socket", "code": 77}\n'
_PEER = Struct("3i")  # struct ucred: process, user, group (unix(7))
_SO_PEERGROUPS = 59  # Linux 4.13, asm-generic/socket.h
_MOST = 1024  # bytes that Python's getsockopt takes


def permitted(connection: socket.socket, path: Path) -> bool:
    """Whether whoever connected is root, our own user, or in the group of the socket `path`."""
    asked = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    _, user, group = _PEER.unpack(asked)
    if user in (0, os.geteuid()):
        return True
    try:
        allowed = path.stat().st_gid in _groups(connection, user, group)
    except (OSError, KeyError):
        allowed = False
    if not allowed:
        log.warning("user %d was refused at the control socket", user)
    return allowed


def _groups(connection: socket.socket, user: int, group: int) -> set[int]:
    """The groups of a peer: those of its process, else of its user. Raises OSError or KeyError."""
    try:
        data = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _MOST)
    except OSError:  # too many for us, or a kernel that does not tell
        return {group, *os.getgrouplist(getpwuid(user).pw_name, group)}
    return {group, *unpack(f"{len(data) // 4}I", data)}


async def serve(path: Path, do: Do) -> asyncio.Server:
    """Answers at `path` with what `do(name, arguments)` returns. Raises Refused or Forbidden."""

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            allowed = permitted(writer.get_extra_info("socket"), path)
            while line := await reader.readline():
                if not allowed:
                    writer.write(_REFUSED)
                    return
                async with aclosing(_answers(do, line)) as answers:
                    async for answer in answers:
                        writer.write(answer + b"\n")
                        await writer.drain()
        except (ConnectionError, ValueError):
            log.info("a command went away, or sent a line beyond %d bytes", LIMIT)
        except asyncio.CancelledError:
            # Guard stops. Passed on it would be a traceback in the log (CPython, gh-113538).
            log.info("a command was still waiting at the end")
        finally:
            writer.close()

    return await asyncio.start_unix_server(meet, sock=_bind(path), limit=LIMIT)


def _bind(path: Path) -> socket.socket:
    """A socket at `path` that owner and group may open from its first moment."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_socket():
            if _alive(path):
                raise Refused(f"another daemon already answers at {path}")
            path.unlink()
        bound, mask = socket.socket(socket.AF_UNIX), os.umask(0o117)
        try:
            bound.bind(str(path))
        except OSError:
            bound.close()
            raise
        finally:
            os.umask(mask)
    except OSError as error:
        raise Forbidden(f"cannot listen at {path}: {error.strerror or error}") from None
    return bound


async def _answers(do: Do, line: bytes) -> AsyncGenerator[bytes, None]:
    """The lines of an answer: parts, where there are any, and then the result or an error."""
    try:
        request = json.loads(line)
        answer = await do(request.pop("do"), request)
        if isinstance(answer, AsyncGenerator):
            async with aclosing(answer):
                async for part in answer:
                    yield msgspec.json.encode({"part": part})
            answer = None
        last = {"result": answer}
    except GuardError as error:
        last = {"error": str(error), "code": 65 if isinstance(error, BadInput) else 69}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        log.warning("bad request at the control socket: %s", error)
        last = {"error": f"bad request: {type(error).__name__}", "code": 65}
    yield json.dumps(last).encode()


def _alive(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


class Line:
    """A connection to the daemon at `path`, for any number of questions.

    Raises NoDaemon or Forbidden.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with ExitStack() as stack:
            self._connection = stack.enter_context(socket.socket(socket.AF_UNIX))
            self._connection.settimeout(TIMEOUT)
            with self._errors():
                self._connection.connect(str(path))
            self._stream = stack.enter_context(self._connection.makefile("rb"))
            self._stack = stack.pop_all()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except PermissionError:
            raise Forbidden(f"not permitted to use the socket {self._path}") from None
        except (FileNotFoundError, ConnectionRefusedError):
            start = "start it with `guard up`"
            raise NoDaemon(f"no daemon answers at {self._path}; {start}") from None
        except OSError as error:
            raise Unavailable(f"the daemon at {self._path} does not answer: {error}") from None

    def ask(self, name: str, **arguments: Any) -> Any:
        """What the daemon answers, or raises."""
        *_, (_, result) = self._answers(name, arguments)
        return result

    def parts(self, name: str, **arguments: Any) -> Iterator[Any]:
        """The parts of a long answer, as they come."""
        return (answer for part, answer in self._answers(name, arguments) if part)

    def _answers(self, name: str, arguments: dict[str, Any]) -> Iterator[tuple[bool, Any]]:
        """(whether it is but a part, what it says), to the last, which is none."""
        self._connection.settimeout(PATIENCE.get(name, TIMEOUT))
        with self._errors():
            self._connection.sendall(json.dumps({"do": name, **arguments}).encode() + b"\n")
        while True:
            with self._errors():
                line = self._stream.readline()
            if not line:
                raise Unavailable(f"the daemon at {self._path} closed the connection")
            answer = msgspec.json.decode(line) if line.startswith(b'{"part"') else json.loads(line)
            if "error" in answer:
                raise _ERRORS.get(answer["code"], Unavailable)(answer["error"])
            if "part" not in answer:
                yield False, answer["result"]
                return
            yield True, answer["part"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def call(path: Path, name: str, **arguments: Any) -> Any:
    """Asks the daemon at `path`. Raises NoDaemon, Forbidden, or what the daemon answers."""
    with Line(path) as line:
        return line.ask(name, **arguments)
