"""Annotations that say how a setting is read from TOML; config.py obeys them.

`Annotated[T, parser]`: `parser` takes the TOML value and returns a T or raises ValueError.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, NamedTuple

from guard.lib.durations import parse_duration
from guard.lib.networks import Network, is_address, parse_address, parse_network

_NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?"
    r"(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?",
    re.IGNORECASE | re.ASCII,
)


class Endpoint(NamedTuple):
    """A socket address: `host` is an address, a host name, or empty for every interface."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_endpoint(value: object) -> Endpoint:
    """`127.0.0.1:25`, `[::1]:25`, `mx.example.com:25` or `:25`. Raises ValueError."""
    text = value if isinstance(value, str) else ""
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError(f'{value!r} is not an address and port such as "127.0.0.1:25"')
    if host.startswith("[") and host.endswith("]"):
        return Endpoint(str(parse_address(host[1:-1])), int(port))
    if ":" in host:
        raise ValueError(f'{value!r}: write an IPv6 address in brackets, as in "[::1]:25"')
    if host and not _NAME.fullmatch(host):
        raise ValueError(f'{value!r} is not an address and port such as "127.0.0.1:25"')
    return Endpoint(host, int(port))


def server_fault(server: Endpoint) -> str:
    """Why `server` cannot be reached without asking for its name; empty when it can."""
    if is_address(server.host) and server.port:
        return ""
    return f'{server} is not an address such as "127.0.0.1:53"'


def _network(value: object) -> Network:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not an address or a CIDR block in quotes")
    return parse_network(value)


def _duration(value: object) -> float:
    seconds = parse_duration(value)
    if seconds < 0:
        raise ValueError(f"{value!r} must not be negative")
    return seconds


def _port(value: object) -> int:
    if type(value) is not int or not 1 <= value <= 65535:
        raise ValueError(f"{value!r} is not a port, 1 to 65535")
    return value


class RelativePath(NamedTuple):
    """Marks a path that config.py resolves against the folder of the configuration file."""


Duration = Annotated[float, _duration]
Net = Annotated[Network, _network]
Listen = Annotated[Endpoint, parse_endpoint]
Port = Annotated[int, _port]
FilePath = Annotated[Path, RelativePath()]
