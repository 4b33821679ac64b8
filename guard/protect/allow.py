"""The forms in which an operator says who is never blocked: the grammar of `[protect] allow`.

    192.0.2.1   192.0.2.0/24   2001:db8::/32   192.0.2.10-192.0.2.20     networks
    office.example.com      a host name: its addresses, asked for again and again
    .example.com            whoever's reverse DNS ends so, when the name leads back to the address

Pure: nothing is resolved here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated

from guard.lib.networks import Network
from guard.lib.prefixes import parse_networks

_LABEL = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
_NAME = re.compile(rf"(?=.{{1,253}}\Z)(\.)?({_LABEL}(?:\.{_LABEL})*)\.?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Allowed:
    """One entry, as `text` has it. Exactly one of the others is set."""

    text: str
    networks: tuple[Network, ...] = ()
    name: str = ""
    suffix: str = ""


def parse_allowed(value: object) -> Allowed:
    """The entry that `value` is. Raises ValueError; names are lower-cased, a last dot is cut."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not an address, a network or a name in quotes")
    text = value.strip()
    name = _NAME.fullmatch(text.lower())
    # No top-level domain is a number (RFC 3696, 2), so a mistyped address is never a name.
    if name and not name[2].rpartition(".")[2].isdigit():
        if not name[1]:
            return Allowed(text, name=name[2])
        if "." not in name[2]:
            raise ValueError(f"{value!r} is a whole top-level domain")
        return Allowed(text, suffix="." + name[2])
    return Allowed(text, networks=tuple(parse_networks(text)))


def parse_lines(text: str) -> Iterator[tuple[int, Allowed | ValueError]]:
    """The entries of a file: one a line, `#` and `;` begin a comment; each with its line number."""
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        entry = re.split(r"[#;]", line, maxsplit=1)[0].strip()
        if entry:
            try:
                yield number, parse_allowed(entry)
            except ValueError as error:
                yield number, error


def fixed(entries: Iterable[Allowed], why: str = "allow") -> list[tuple[Network, str]]:
    """The networks among `entries`, each with its reason."""
    return [(network, f"{why} {entry.text}") for entry in entries for network in entry.networks]


Allow = Annotated[Allowed, parse_allowed]
