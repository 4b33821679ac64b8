"""Settings of `[log]`, `[delivery]` and `[queue."domain"]`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from guard.lib.durations import parse_duration
from guard.lib.fields import Duration, FilePath, Net, Port
from guard.lib.networks import parse_address
from guard.mail.routing import Route, parse_route
from guard.mail.schedule import Rate


@dataclass(frozen=True, kw_only=True)
class LogSettings:
    """Where records and events are written; None is nowhere."""

    records: FilePath | None = None
    events: FilePath | None = None
    collapse: Duration = 10.0


_RATE = re.compile(r"([1-9]\d{0,8})\s*/\s*(\d*\s*[a-z]+)", re.ASCII)


def parse_rate(value: object) -> Rate:
    """`100/min`, `5/10s`: so many messages in so long. Raises ValueError."""
    found = _RATE.fullmatch(value.strip().lower()) if isinstance(value, str) else None
    if found is not None:
        period = found[2] if found[2][0].isdigit() else f"1{found[2]}"
        seconds = parse_duration(period)
        if seconds > 0:
            return Rate(int(found[1]), seconds)
    raise ValueError(f'{value!r} is not a rate such as "100/min"')


def _address(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not an IP address in quotes")
    return str(parse_address(value))


Routing = Annotated[Route, parse_route]
RateLimit = Annotated[Rate, parse_rate]
Address = Annotated[str, _address]
TlsMode = Literal["opportunistic", "required", "required-insecure", "implicit", "off"]


@dataclass(frozen=True, kw_only=True)
class DeliverySettings:
    """Delivery as a whole. `hostname` is said in EHLO and in bounces; None is the first listener's.

    `nameservers` empty are those of /etc/resolv.conf. `bounces` is whether the sender of mail that
    cannot be delivered is told. `connections` is for all destinations together.
    """

    enabled: bool = True
    hostname: str | None = None
    nameservers: tuple[Address, ...] = ()
    bounces: bool = True
    connections: int = 200

    def faults(self) -> Iterator[tuple[str, str]]:
        """What no single value shows: (key, message)."""
        if self.connections < 1:
            yield "connections", "must be at least 1"


@dataclass(frozen=True, kw_only=True)
class QueueSettings:
    """How mail for one domain leaves; what is left out is taken from `[queue.default]`.

    Names are KumoMTA's where it has them. guard/mail/policy.py holds the defaults.
    """

    routing_domain: Routing | None = None
    port: Port | None = None
    username: str | None = None
    password_file: FilePath | None = None
    tls: TlsMode | None = None
    tls_ca: FilePath | None = None
    retry_interval: Duration | None = None
    max_retry_interval: Duration | None = None
    max_age: Duration | None = None
    connections: int | None = None
    messages_per_connection: int | None = None
    rate: RateLimit | None = None
    prohibited_hosts: tuple[Net, ...] | None = None

    def faults(self) -> Iterator[tuple[str, str]]:
        """What no single value shows: (key, message)."""
        for name in ("connections", "messages_per_connection"):
            value = getattr(self, name)
            if value is not None and value < 1:
                yield name, "must be at least 1"
        if self.retry_interval == 0:
            yield "retry_interval", "must be longer than 0"
        if (self.username is None) is not (self.password_file is None):
            yield "username", "needs a password_file, and the other way round"
        if self.username is not None and self.tls == "off":
            yield "tls", "a password is never sent in the clear: leave out, or set to required"
