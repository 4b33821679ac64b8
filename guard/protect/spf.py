"""Which networks a domain's SPF record lets send for it, listed (RFC 7208), and within what bounds.

The record is listed, not evaluated for a message: what depends on the message (macros, `exists`,
`ptr`) is refused or left out, and only what passes (`+`) counts. The look-up limits are the RFC's.
Pure but for `ask`, which may raise Unavailable.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from guard.lib.networks import Network, parse_address, parse_network
from guard.lib.prefixes import Prefixes
from guard.protect.dns import Ask, addresses

MOST_LOOKUPS = 10  # RFC 7208, 4.6.4
MOST_VOID = 2
MOST_HOSTS = 10
MOST_NETWORKS = 4096
WIDEST = {4: 16, 6: 32}
GROWTH = 4
# A sender of whom no ranges were shipped may have this much: two blocks of the widest size, for
# there are large ones with a little more than the addresses of one.
SMALLEST = {4: 1 << 17, 6: 1 << 97}

_DUAL = re.compile(r"(?:/(\d{1,2}))?(?://(\d{1,3}))?")


class BadSpf(ValueError):
    """A record that cannot be trusted to say who sends; the old list stays."""


@dataclass
class _Listing:
    ask: Ask
    networks: list[Network] = field(default_factory=list)
    lookups: int = 0
    voids: int = 0
    open: list[str] = field(default_factory=list)

    def spend(self, domain: str) -> None:
        self.lookups += 1
        if self.lookups > MOST_LOOKUPS:
            raise BadSpf(f"more than {MOST_LOOKUPS} look-ups at {domain}")

    def add(self, networks: Iterable[Network]) -> None:
        self.networks += networks
        if len(self.networks) > MOST_NETWORKS:
            raise BadSpf(f"more than {MOST_NETWORKS} networks")

    def hosts(self, domain: str) -> list[Network]:
        found = addresses(domain, self.ask)
        if not found:
            self.voids += 1
            if self.voids > MOST_VOID:
                raise BadSpf(f"more than {MOST_VOID} names without address, the last is {domain}")
        return found


def listed(domain: str, ask: Ask) -> list[Network]:
    """The networks that the SPF record of `domain` passes, each once.

    Raises BadSpf when there is no record, more than one, one with errors, macros, loops or too many
    look-ups, or one that passes everybody; Unavailable when the DNS does not answer.
    """
    listing = _Listing(ask)
    _record(domain, listing)
    return sorted(set(listing.networks))


def _record(domain: str, listing: _Listing) -> None:
    texts = [t for t in listing.ask(domain, "TXT") if t.lower().split(" ")[0] == "v=spf1"]
    if len(texts) != 1:
        raise BadSpf(f"{domain} has {len(texts) or 'no'} SPF records")  # RFC 7208, 4.5
    if domain in listing.open:
        raise BadSpf(f"{domain} includes itself")
    listing.open.append(domain)
    redirect, everybody = "", False
    for term in texts[0].split()[1:]:
        qualifier, name, value, length = _parse(term, domain)
        if name == "redirect":
            redirect = value
        elif name == "all":
            everybody = True
            if qualifier in ("", "+"):
                raise BadSpf(f"{domain} passes everybody")
        elif qualifier in ("", "+") and name in _MECHANISMS:
            _MECHANISMS[name](value or domain, length, listing)
    if redirect and not everybody:  # RFC 7208, 6.1
        listing.spend(redirect)
        _record(redirect.lower().rstrip("."), listing)
    listing.open.pop()


def _parse(term: str, domain: str) -> tuple[str, str, str, str]:
    """(qualifier, name, value, prefix length) of one term. Raises BadSpf."""
    if "%" in term:
        raise BadSpf(f"{domain} has a macro")  # RFC 7208, 7: depends on the message
    name, colon, value = term.partition(":")
    if "=" in name:
        name, _, value = term.partition("=")
        return "", name.lower(), value, ""
    qualifier = name[:1] if name[:1] in "+-~?" else ""
    name = name.removeprefix(qualifier)
    name, slash, length = name.partition("/")
    if colon and not value:
        raise BadSpf(f"{domain} has an error: {term[:40]!r}")
    name = name.lower()
    if name in ("a", "mx") and colon:
        value, slash, length = value.partition("/")
    if name not in _KNOWN:
        raise BadSpf(f"{domain} has an error: {term[:40]!r}")  # RFC 7208, 4.6
    return qualifier, name, value, slash + length


def _ip(value: str, _length: str, listing: _Listing) -> None:
    try:
        address, slash, _ = value.partition("/")
        network = parse_network(value) if slash else parse_address(address)
    except ValueError as error:
        # Host bits set are a common slip; what was meant is no doubt, but a doubt is enough.
        raise BadSpf(str(error)) from None
    listing.add([network])


def _a(domain: str, length: str, listing: _Listing) -> None:
    listing.spend(domain)
    listing.add(_widened(listing.hosts(domain), length))


def _mx(domain: str, length: str, listing: _Listing) -> None:
    listing.spend(domain)
    names = listing.ask(domain, "MX")
    if len(names) > MOST_HOSTS:
        raise BadSpf(f"{domain} has more than {MOST_HOSTS} mail exchangers")
    for name in names:
        listing.add(_widened(addresses(name, listing.ask), length))


def _include(domain: str, _length: str, listing: _Listing) -> None:
    listing.spend(domain)
    _record(domain.lower().rstrip("."), listing)


def _left_out(domain: str, _length: str, listing: _Listing) -> None:
    listing.spend(domain)


def _widened(hosts: list[Network], length: str) -> list[Network]:
    match = _DUAL.fullmatch(length)
    if match is None:
        raise BadSpf(f"{length!r} is no prefix length")
    lengths = {4: int(match[1] or 32), 6: int(match[2] or 128)}
    if lengths[4] > 32 or lengths[6] > 128:
        raise BadSpf(f"{length!r} is no prefix length")
    return [host.supernet(lengths[host.version]) for host in hosts]


_MECHANISMS: dict[str, Callable[[str, str, _Listing], None]] = {
    "ip4": _ip,
    "ip6": _ip,
    "a": _a,
    "mx": _mx,
    "include": _include,
    "exists": _left_out,
    "ptr": _left_out,
}
_KNOWN = {*_MECHANISMS, "all"}


def bounded(known: Iterable[Network], found: Iterable[Network], bogons: Prefixes) -> list[Network]:
    """`found`, when a sender whose ranges are `known` may have that; raises BadSpf otherwise.

    A record can be hijacked, and whoever is in it can never be blocked: nothing wider than /16
    (IPv6 /32) unless it is known, nothing that is not global, not more than GROWTH times what is
    known. `known` is what was shipped, so that a record cannot grow step by step.
    """
    found = list(found)
    held, wanted = Prefixes(known), Prefixes(found)
    for network in found:
        if bogons.overlaps(network):
            raise BadSpf(f"{network} is not global")
        if network.length < WIDEST[network.version] and not held.covers(network):
            raise BadSpf(f"{network} is wider than /{WIDEST[network.version]}")
    for version in (4, 6):
        most = max(GROWTH * held.addresses(version), SMALLEST[version])
        if wanted.addresses(version) > most:
            raise BadSpf(f"IPv{version}: more than {GROWTH} times the addresses that are known")
    return list(wanted)
