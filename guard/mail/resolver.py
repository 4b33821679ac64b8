"""Which hosts take mail for a route: RFC 5321 section 5.1 over DNS, or no DNS at all.

`hosts` asks a `Resolver` and decides; `DnsResolver` is the one that asks name servers. What a
name server says is a stranger's word: names and addresses are checked, numbers are bounded.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import dns.asyncresolver
import dns.exception
import dns.resolver

from guard.lib.networks import Network, parse_address
from guard.mail.replies import Undeliverable, failure
from guard.mail.routing import Route, parse_route

_MOST_MX = 16
_MOST_HOSTS = 10
_LIFETIME = 20.0
_NOWHERE = "name.invalid"  # RFC 6761, 6.4: never exists; for what is no host name


class Mx(NamedTuple):
    """One MX record; `host` is lower-case without its final dot, empty for the null MX."""

    preference: int
    host: str


class Resolver(Protocol):
    """DNS, as far as mail needs it."""

    async def mx(self, name: str) -> list[Mx]:
        """The MX records of `name`; none where it has none or is not there. Raises Undeliverable.

        What it raises is temporary: nobody answered, or answered that it cannot.
        """
        ...

    async def addresses(self, name: str) -> list[str]:
        """IPv6 and IPv4 addresses of `name`, none where it has none. Raises Undeliverable."""
        ...


@dataclass(frozen=True, slots=True)
class Host:
    """Somebody who takes mail: `name` is what DNS calls it, or the literal."""

    name: str
    address: str
    port: int


Shuffle = Callable[[Sequence[Mx]], Sequence[Mx]]


async def hosts(
    route: Route, resolver: Resolver, prohibited: Sequence[Network], shuffle: Shuffle
) -> list[Host]:
    """The hosts for `route`, the best first. Raises Undeliverable, with the reply to give.

    `shuffle` puts hosts of one preference into any order, to spread the load (RFC 5321, 5.1).
    """
    port = route.port
    assert port is not None
    if route.literal:
        name = str(Route(route.host, literal=True))
        return _allowed([Host(name, route.host, port)], prohibited)
    found: list[Host] = []
    reason = Undeliverable(failure(451, (4, 4, 4), f"no host takes mail for {route.host}"))
    for name in await _exchangers(route.host, resolver, shuffle):
        try:
            found += [Host(name, address, port) for address in await resolver.addresses(name)]
        except Undeliverable as error:
            reason = error  # the others may be known
        if len(found) >= _MOST_HOSTS:
            break
    if not found:
        raise reason
    return _allowed(found[:_MOST_HOSTS], prohibited)


async def _exchangers(name: str, resolver: Resolver, shuffle: Shuffle) -> list[str]:
    records = await resolver.mx(name)
    if not records:
        return [name]
    if all(not record.host for record in records):
        raise Undeliverable(failure(556, (5, 1, 10), f"{name} has a null MX: it takes no mail"))
    records = sorted(record for record in records if record.host)[:_MOST_MX]
    by_preference = itertools.groupby(records, key=lambda record: record.preference)
    return [record.host for _, group in by_preference for record in shuffle(list(group))]


def _allowed(found: list[Host], prohibited: Sequence[Network]) -> list[Host]:
    """Without those that we would not talk to, such as ourselves."""
    kept = []
    for host in found:
        address = parse_address(host.address)
        if not any(network.covers(address) for network in prohibited):
            kept.append(host)
    if not kept:
        text = f"{found[0].name} ({found[0].address}) is on the list of prohibited_hosts"
        raise Undeliverable(failure(550, (5, 4, 4), text))
    return kept


class DnsResolver:
    """Asks `nameservers` (all at `port`), or without any those of /etc/resolv.conf."""

    def __init__(self, nameservers: Sequence[str] = (), port: int = 53) -> None:
        self._nameservers, self._port = nameservers, port
        self._made: dns.asyncresolver.Resolver | None = None

    def _dns(self) -> dns.asyncresolver.Resolver:
        """The library's resolver, made when it is first needed: a literal route needs none."""
        if self._made is None:
            made = dns.asyncresolver.Resolver(configure=not self._nameservers)
            made.cache = dns.resolver.LRUCache(10_000)
            made.lifetime = _LIFETIME
            if self._nameservers:
                made.nameservers, made.port = list(self._nameservers), self._port
            self._made = made
        return self._made

    async def mx(self, name: str) -> list[Mx]:
        """See Resolver."""
        found = []
        for record in await self._ask(name, "MX"):
            host = record.exchange.to_text(omit_final_dot=True).lower()
            if host == ".":
                host = ""
            elif not _is_name(host):
                host = _NOWHERE
            found.append(Mx(record.preference, host))
        return found

    async def addresses(self, name: str) -> list[str]:
        """See Resolver."""
        v6 = [record.address for record in await self._ask(name, "AAAA")]
        v4 = [record.address for record in await self._ask(name, "A")]
        return [str(parse_address(address)) for address in (*v6, *v4)]

    async def _ask(self, name: str, kind: str) -> Sequence[Any]:
        try:
            answer = await self._dns().resolve(f"{name}.", kind, raise_on_no_answer=False)
        except dns.resolver.NXDOMAIN:
            return []
        except (dns.exception.DNSException, OSError, ValueError) as error:
            text = f"looking up {kind} of {name}: {type(error).__name__}"
            raise Undeliverable(failure(451, (4, 4, 3), text)) from error
        return list(answer.rrset or [])


def _is_name(host: str) -> bool:
    try:
        return not parse_route(host).literal
    except ValueError:
        return False
