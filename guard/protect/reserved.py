"""Address space that no stranger on the Internet can come from, and so is never blocked.

A block of loopback, of private or of multicast space cuts off the machine itself, its containers
or its neighbours, and stops no attacker. The tables are IANA's special-purpose registries
(RFC 6890 and its updates): what is not globally reachable, and what is not unicast.
"""

from __future__ import annotations

from guard.lib.networks import Network, parse_network
from guard.lib.prefixes import subtract

_IPV4 = (
    ("0.0.0.0/8", "this network", "RFC 791, 3.2"),
    ("10.0.0.0/8", "private", "RFC 1918"),
    ("100.64.0.0/10", "carrier-grade NAT", "RFC 6598"),
    ("127.0.0.0/8", "loopback", "RFC 1122, 3.2.1.3"),
    ("169.254.0.0/16", "link-local", "RFC 3927"),
    ("172.16.0.0/12", "private", "RFC 1918"),
    ("192.0.0.0/24", "IETF protocol assignments", "RFC 6890, 2.1"),
    ("192.0.2.0/24", "documentation", "RFC 5737"),
    ("192.88.99.0/24", "6to4 relay anycast, withdrawn", "RFC 7526"),
    ("192.168.0.0/16", "private", "RFC 1918"),
    ("198.18.0.0/15", "benchmarking", "RFC 2544"),
    ("198.51.100.0/24", "documentation", "RFC 5737"),
    ("203.0.113.0/24", "documentation", "RFC 5737"),
    ("224.0.0.0/4", "multicast", "RFC 5771"),
    ("240.0.0.0/4", "reserved", "RFC 1112, 4"),
)
_IPV6 = (
    ("::/128", "unspecified", "RFC 4291, 2.5.2"),
    ("::1/128", "loopback", "RFC 4291, 2.5.3"),
    ("64:ff9b::/96", "IPv4 translation", "RFC 6052"),
    ("64:ff9b:1::/48", "IPv4 translation", "RFC 8215"),
    ("100::/64", "discard only", "RFC 6666"),
    ("fc00::/7", "unique local", "RFC 4193"),
    ("fe80::/10", "link-local", "RFC 4291, 2.5.6"),
    ("ff00::/8", "multicast", "RFC 4291, 2.7"),
    ("2001:db8::/32", "documentation", "RFC 3849"),
    ("2002::/16", "6to4", "RFC 3056"),
    ("3fff::/20", "documentation", "RFC 9637"),
    # Global unicast is 2000::/3 alone; all else is unassigned.
    ("::/3", "not global unicast", "RFC 4291, 2.4"),
    ("4000::/2", "not global unicast", "RFC 4291, 2.4"),
    ("8000::/1", "not global unicast", "RFC 4291, 2.4"),
)
# Inside 2001::/23, which is reserved, these are reachable from everywhere (RFC 6890 registry).
_PROTOCOLS = "2001::/23"
_GLOBAL_PROTOCOLS = (
    "2001:1::1/128",  # RFC 7723
    "2001:1::2/128",  # RFC 8155
    "2001:1::3/128",  # RFC 9665
    "2001:3::/32",  # RFC 7450
    "2001:4:112::/48",  # RFC 7535
    "2001:20::/28",  # RFC 7343
    "2001:30::/28",  # RFC 9374
)


def reserved() -> list[tuple[Network, str]]:
    """Every block that is not global unicast, with why and where that is written."""
    table = [(parse_network(text), f"{what} ({source})") for text, what, source in _IPV4 + _IPV6]
    rest = subtract([parse_network(_PROTOCOLS)], map(parse_network, _GLOBAL_PROTOCOLS))
    why = "IETF protocol assignments (RFC 2928)"
    return table + [(network, why) for network in rest]
