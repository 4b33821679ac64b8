"""How the commands meet a running daemon: JSON lines over a unix socket.

A request is `{"do": NAME, ...arguments}`, an answer `{"result": ...}` or `{"error": TEXT, "code":
EXIT CODE}`. Who may open the socket may do everything: its mode is 0660, its group the daemon's.
Requests are not strangers' bytes, yet a bad one gets an error and never stops the daemon.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from guard.roles import BadInput, Forbidden, GuardError, Refused, Unavailable

log = logging.getLogger("guard.control")
Do = Callable[[str, dict[str, Any]], Awaitable[Any]]
LIMIT = 1 << 20
TIMEOUT = 30.0
# Seconds, for what waits for servers of others.
PATIENCE = {"feeds_sync": 900.0, "report_send": 900.0, "report_clear": 180.0}


class NoDaemon(Unavailable):
    """Nobody listens at the socket."""


async def serve(path: Path, do: Do) -> asyncio.Server:
    """Answers at `path` with what `do(name, arguments)` returns. Raises Refused or Forbidden."""

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await _answer(do, line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            log.info("a command went away, or sent a line beyond %d bytes", LIMIT)
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


async def _answer(do: Do, line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line)
        return {"result": await do(request.pop("do"), request)}
    except GuardError as error:
        return {"error": str(error), "code": 65 if isinstance(error, BadInput) else 69}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        log.warning("bad request at the control socket: %s", error)
        return {"error": f"bad request: {type(error).__name__}", "code": 65}


def _alive(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def call(path: Path, name: str, **arguments: Any) -> Any:
    """Asks the daemon at `path`. Raises NoDaemon, Forbidden, or what the daemon answers."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE.get(name, TIMEOUT))
        try:
            connection.connect(str(path))
            connection.sendall(json.dumps({"do": name, **arguments}).encode() + b"\n")
            with connection.makefile("rb") as stream:
                line = stream.readline()
        except PermissionError:
            raise Forbidden(f"not permitted to use the socket {path}") from None
        except (FileNotFoundError, ConnectionRefusedError):
            raise NoDaemon(f"no daemon answers at {path}; start it with `guard up`") from None
        except OSError as error:
            raise Unavailable(f"the daemon at {path} does not answer: {error}") from None
    if not line:
        raise Unavailable(f"the daemon at {path} closed the connection")
    answer = json.loads(line)
    if "error" in answer:
        raise (BadInput if answer["code"] == 65 else Unavailable)(answer["error"])
    return answer["result"]
