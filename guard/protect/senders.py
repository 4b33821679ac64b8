"""Known mail senders: whom a list of bad addresses names by mistake, and nobody wants blocked.

The shipped ranges are data (senders.toml, with source and date); what their SPF records say today
is added by spf.py, within the bounds that `bounded` sets.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources

from guard.lib.networks import Network, parse_network


@dataclass(frozen=True, slots=True)
class Sender:
    """A provider: the domains whose SPF records list its addresses, and those known."""

    name: str
    spf: tuple[str, ...]
    networks: tuple[Network, ...]


@dataclass(frozen=True, slots=True)
class Shipped:
    """senders.toml."""

    source: str
    date: str
    senders: tuple[Sender, ...]


@cache
def shipped() -> Shipped:
    """The ranges that came with Guard."""
    text = resources.files("guard.protect").joinpath("senders.toml").read_text("utf-8")
    data = tomllib.loads(text)
    senders = tuple(
        Sender(s["name"], tuple(s["spf"]), tuple(parse_network(n) for n in s["networks"]))
        for s in data["sender"]
    )
    return Shipped(data["source"], data["date"], senders)


def entries(senders: Iterable[Sender], without: Collection[str] = ()) -> list[tuple[Network, str]]:
    """Each network of `senders` with why it is protected, leaving out those named in `without`."""
    return [
        (network, f"mail sender {sender.name}")
        for sender in senders
        if sender.name not in without
        for network in sender.networks
    ]
