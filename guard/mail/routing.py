"""Where mail for a domain goes: `routing_domain` in all of KumoMTA's forms. Pure.

    host  host:port                 MX of `host`, else its addresses
    [192.0.2.1]  [192.0.2.1]:port  [192.0.2.1:port]
    [IPv6:2001:db8::1]  [2001:db8::1]  either with :port    an address, no DNS

A port both inside and outside of the brackets is an error (crates/dns-resolver). A recipient's
domain is a route too, one that never has a port.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from guard.lib.networks import is_address, parse_address
from guard.relay.domain import canonical_domain

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*", re.ASCII)
_NUMBER = re.compile(r"(?:.*\.)?[0-9]+", re.ASCII)  # no top-level domain (RFC 1123, 2.1)


@dataclass(frozen=True, slots=True)
class Route:
    """`host` is a lower-case A-label name, or with `literal` an address; `port` None is unsaid."""

    host: str
    port: int | None = None
    literal: bool = False

    def __str__(self) -> str:
        """The canonical form, as records show it."""
        shown = self.host
        if self.literal:
            shown = f"[IPv6:{self.host}]" if ":" in self.host else f"[{self.host}]"
        return shown if self.port is None else f"{shown}:{self.port}"


def parse_route(value: object) -> Route:
    """The route that `value` writes. Raises ValueError, with what is wrong."""
    text = value.strip() if isinstance(value, str) else ""
    if text.startswith("["):
        return _literal(text)
    host, colon, port = text.partition(":")
    name = canonical_domain(host)
    if not _NAME.fullmatch(name) or _NUMBER.fullmatch(name) or port.count(":") > 1:
        hint = "; write it in brackets" if is_address(text) or is_address(host) else ""
        raise ValueError(f"{value!r} is not a host name, or an address in brackets{hint}")
    return Route(name, _port(port, value) if colon else None)


def _literal(text: str) -> Route:
    inner, bracket, after = text[1:].partition("]")
    if not bracket or (after and not after.startswith(":")):
        raise ValueError(f"{text!r} is not an address in brackets")
    outside = _port(after[1:], text) if after else None
    inside: int | None = None
    tagged = inner[:5].lower() == "ipv6:"
    address = inner[5:] if tagged else inner
    if not tagged and address.count(":") == 1:
        address, _, port = address.partition(":")
        inside = _port(port, text)
    if inside is not None and outside is not None:
        raise ValueError(f"{text!r} has a port both inside and outside of the brackets")
    if tagged and ":" not in address:
        raise ValueError(f"{text!r} is not an IPv6 address")
    return Route(str(parse_address(address)), inside if outside is None else outside, literal=True)


def _port(text: str, whole: object) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535:
        return int(text)
    raise ValueError(f"{whole!r}: {text!r} is not a port, 1 to 65535")
