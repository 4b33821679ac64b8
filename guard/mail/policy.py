"""How mail for a domain leaves: `[queue."domain"]` over `[queue.default]` over our defaults. Pure.

As with KumoMTA's queues helper, the domain's own table is found by its domain map (exact name,
then `*` of the level where the name is missing), and each key that it leaves out is the default's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

from guard.lib.networks import Network, parse_network
from guard.mail.routing import Route, parse_route
from guard.mail.schedule import Rate, Schedule
from guard.mail.settings import QueueSettings, TlsMode
from guard.relay.domain import canonical_domain
from guard.relay.domain_map import DomainMap

DEFAULT = "default"
SMTP_PORT = 25

# KumoMTA's default: mail for a name that points here would come back at once.
LOCAL = tuple(map(parse_network, ("127.0.0.0/8", "::1", "0.0.0.0", "::")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """All that decides how mail for one domain leaves.

    `route` None is the recipient's domain itself. `port` is for a route that names none.
    """

    route: Route | None = None
    port: int = SMTP_PORT
    username: str | None = None
    password_file: Path | None = None
    tls: TlsMode = "opportunistic"
    tls_ca: Path | None = None
    schedule: Schedule = Schedule()
    connections: int = 10
    messages_per_connection: int = 100
    rate: Rate | None = None
    prohibited_hosts: tuple[Network, ...] = LOCAL


class Policies:
    """The policies of all domains. Immutable."""

    def __init__(self, queues: Mapping[str, QueueSettings]) -> None:
        default = queues.get(DEFAULT, QueueSettings())
        self._default = _policy(default)
        self._map = DomainMap(
            (canonical_domain(name), _policy(_over(queue, default)))
            for name, queue in queues.items()
            if name != DEFAULT
        )
        self._of = lru_cache(maxsize=10_000)(self._find)

    def of(self, domain: str) -> Policy:
        """The policy for a recipient's domain, canonical."""
        return self._of(domain)

    def queue_name(self, domain: str) -> str:
        """What KumoMTA calls the queue of `domain`: `domain!routing_domain` where there is one."""
        route = self.of(domain).route
        return f"{domain}!{route}" if route else domain

    def _find(self, domain: str) -> Policy:
        return self._map.get(domain) or self._default


def route_of(domain: str, policy: Policy) -> Route:
    """Where mail for `domain` goes, the port filled in. Raises ValueError when it is no domain."""
    route = policy.route or parse_route(domain)
    return route if route.port else Route(route.host, policy.port, route.literal)


def _over(own: QueueSettings, default: QueueSettings) -> QueueSettings:
    values = {}
    for field in fields(QueueSettings):
        value = getattr(own, field.name)
        values[field.name] = getattr(default, field.name) if value is None else value
    return QueueSettings(**values)


def _policy(queue: QueueSettings) -> Policy:
    given = {field.name: getattr(queue, field.name) for field in fields(QueueSettings)}
    given = {name: value for name, value in given.items() if value is not None}
    kumo = {
        "retry_interval": "interval",
        "max_retry_interval": "longest",
        "max_age": "max_age",
    }
    schedule = Schedule(**{kumo[name]: given.pop(name) for name in kumo if name in given})
    if "routing_domain" in given:
        given["route"] = given.pop("routing_domain")
    return Policy(schedule=schedule, **given)
