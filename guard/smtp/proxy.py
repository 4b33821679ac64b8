"""The PROXY header, versions 1 and 2, by which a listed proxy names its client.

aiosmtpd takes the header apart (haproxy.org, proxy-protocol.txt); here it is cut out of the bytes
first, so that nobody waits for a reader. Only listed proxies are asked for one: from anybody else
such a line is just a line.
"""

from __future__ import annotations

from typing import NamedTuple

from aiosmtpd.proxy_protocol import AF, PROTO, V2_CMD, V2_SIGNATURE, ProxyData, get_proxy

_V1_LONGEST = 107
_V2_FIXED = 16
_V2_LONGEST = _V2_FIXED + 2048


class BadHeaderError(Exception):
    """A proxy that does not say whom it brings. The connection is of no use."""


class Route(NamedTuple):
    """The ends that the client sees: its own, and the address that it connected to."""

    host: str
    port: int
    local_host: str
    local_port: int


class Header:
    """Collects bytes until the header is whole."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> tuple[Route | None, bytes] | None:
        """Takes `data`. None: there is more to come; else the route and the bytes behind it.

        The route is None where the proxy speaks for itself (LOCAL, UNKNOWN): a health check.
        Raises BadHeaderError.
        """
        self._data += data
        end = _end(self._data)
        if end is None:
            return None
        return _route(_parse(self._data[:end])), self._data[end:]


def _end(data: bytes) -> int | None:
    """Where the header ends, None when that is not known yet. Raises BadHeaderError."""
    if data.startswith(V2_SIGNATURE[: len(data)]):
        if len(data) < _V2_FIXED:
            return None
        end = _V2_FIXED + int.from_bytes(data[14:16], "big")
        if end > _V2_LONGEST:
            raise BadHeaderError("header too long")
        return end if len(data) >= end else None
    if not data.startswith(b"PROXY "[: len(data)]):
        raise BadHeaderError("no PROXY header")
    end = data.find(b"\r\n", 0, _V1_LONGEST) + 2
    if end >= 2:
        return end
    if len(data) >= _V1_LONGEST:
        raise BadHeaderError("header too long")
    return None


class _Reader:
    """What get_proxy reads from: all is there already, nothing is ever waited for."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def read(self, n: int = -1) -> bytes:
        taken = self._data if n < 0 else self._data[:n]
        self._data = self._data[len(taken) :]
        return taken

    async def readexactly(self, n: int) -> bytes:
        if len(self._data) < n:
            raise EOFError
        return await self.read(n)

    async def readuntil(self, separator: bytes = b"\n") -> bytes:
        end = self._data.find(separator)
        if end < 0:
            raise EOFError
        return await self.read(end + len(separator))


def _parse(header: bytes) -> ProxyData:
    coroutine = get_proxy(_Reader(header))
    try:
        coroutine.send(None)
    except StopIteration as end:
        data: ProxyData = end.value
        if data.valid:
            return data
        # aiosmtpd's own words, unless they are those of an exception.
        said = "" if data.error.startswith("PROXY exception") else data.error
        raise BadHeaderError(said or "malformed header") from None
    except (EOFError, ConnectionError, ValueError, LookupError):
        raise BadHeaderError("malformed header") from None
    raise AssertionError("a whole header has to be waited for")


def _route(data: ProxyData) -> Route | None:
    if data.command == V2_CMD.LOCAL or data.protocol == PROTO.UNSPEC:
        return None
    if data.protocol != PROTO.STREAM or data.family not in (AF.INET, AF.INET6):
        raise BadHeaderError("not TCP")
    return Route(
        str(data.src_addr), int(data.src_port or 0), str(data.dst_addr), int(data.dst_port or 0)
    )
