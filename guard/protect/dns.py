"""Questions to the DNS, as text, with limits: the one place where protection waits for it.

What comes back is a stranger's: it is only ever parsed as an address, a name or an SPF record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from guard.lib.networks import Network, parse_address
from guard.roles import Unavailable

Ask = Callable[[str, str], list[str]]
"""(name, type) -> the records as text, [] when there are none. Raises Unavailable."""

TRY, LIFETIME = 2.0, 5.0
MOST_RECORDS = 64
MOST_NAMES = 5


def resolver(servers: Sequence[tuple[str, int]] = (), lifetime: float = LIFETIME) -> Ask:
    """Asks `servers` (address, port), or those of resolv.conf, for A, AAAA, MX, PTR or TXT.

    An answer has `lifetime` seconds to come.
    """
    from dns.exception import DNSException
    from dns.name import from_text
    from dns.resolver import NXDOMAIN, NoAnswer, NoResolverConfiguration, Resolver

    def made() -> Resolver:
        # Anew for each question: resolv.conf changes while a daemon runs.
        found = Resolver(configure=not servers)
        if servers:
            found.nameservers = [address for address, _ in servers]
            found.nameserver_ports = dict(servers)
        found.timeout, found.lifetime = min(TRY, lifetime), lifetime
        return found

    def ask(name: str, kind: str) -> list[str]:
        try:
            answer = made().resolve(from_text(name), kind, search=False)
        except (NXDOMAIN, NoAnswer):
            return []
        except (DNSException, NoResolverConfiguration, OSError, ValueError, UnicodeError) as error:
            raise Unavailable(f"DNS, {kind} of {name}: {error or type(error).__name__}") from None
        return [_text(record, kind) for record in list(answer)[:MOST_RECORDS]]

    return ask


def _text(record: object, kind: str) -> str:
    if kind == "TXT":
        # RFC 7208, 3.3: strings of one record are joined without blanks.
        return b"".join(record.strings).decode("ascii", "backslashreplace")  # type: ignore[attr-defined]
    if kind == "MX":
        return str(record.exchange)  # type: ignore[attr-defined]
    return str(record)


def addresses(name: str, ask: Ask) -> list[Network]:
    """The addresses of a host name. Raises Unavailable when either question fails."""
    found = []
    for kind in ("A", "AAAA"):
        for text in ask(name, kind):
            try:
                found.append(parse_address(text))
            except ValueError:
                continue
    return found


def pointer(address: Network) -> str:
    """The name whose PTR records are those of `address` (RFC 1035, 3.5; RFC 3596, 2.5)."""
    if address.version == 4:
        return ".".join(map(str, reversed(address.packed))) + ".in-addr.arpa"
    return ".".join(reversed(address.packed.hex())) + ".ip6.arpa"


def confirmed(address: Network, suffixes: Sequence[str], ask: Ask) -> str | None:
    """The reverse name of `address` that ends in one of `suffixes` and leads back to it, or None.

    Whoever owns an address names it as he likes; only the way back shows that the name's owner
    agrees. Suffixes begin with a dot. Raises Unavailable.
    """
    for text in ask(pointer(address), "PTR")[:MOST_NAMES]:
        name = text.rstrip(".").lower()
        if ("." + name).endswith(tuple(suffixes)) and address in addresses(name, ask):
            return name
    return None
