"""What strangers are called by the reverse DNS, found out beside their sessions.

Nobody waits for it: a stranger is noticed, asked for in the background, and recognised when the
answer is there, in the session that goes on or in the next one. A name counts only when it leads
back to the address. What waits and what is known is bounded, and a flood of strangers is not asked
for but in part. Space that no stranger comes from is never asked for.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from guard.lib.networks import Network
from guard.lib.prefixes import Prefixes
from guard.protect.dns import Ask
from guard.protect.reverse import Reverse
from guard.roles import Unavailable

EVERY = 1.0  # seconds


class Served(Protocol):
    """A listener that wants to know names below some domains."""

    @property
    def domains(self) -> frozenset[str]:
        """Those."""
        ...

    def named(self, addresses: Collection[Network]) -> None:
        """It has become known what these are called. Called in any thread."""
        ...


class Naming:
    """`name` and `noticed` are for the event loop, `step` for a thread of its own."""

    def __init__(self, ask: Ask, never: Prefixes) -> None:
        """`ask` asks the DNS; of addresses in `never` nothing is asked."""
        self._resolver, self._never = ask, never
        self._reverse = Reverse(self._ask)
        self._served: list[Served] = []
        self._names: dict[Network, str] = {}
        self._stopping = False

    def serve(self, listener: Served) -> None:
        """Tells `listener` too, from now on."""
        self._served.append(listener)

    def name(self, address: Network) -> str | None:
        """The confirmed name of `address`, if it is below a domain that somebody wants."""
        return self._names.get(address)

    def noticed(self, address: Network) -> None:
        """`address` is here. Never waits."""
        if not self._reverse.knows(address) and not self._never.covers(address):
            self._reverse.noticed(address)

    def step(self, now: float) -> None:
        """Asks for some of those who were noticed, and tells who they are."""
        domains = frozenset[str]().union(*(each.domains for each in self._served))
        if not domains:
            return
        self._reverse.run([f".{domain}" for domain in domains], now)
        names = {
            address: name for name, some in self._reverse.confirmed().items() for address in some
        }
        new, self._names = names.keys() - self._names.keys(), names
        for each in self._served if new else ():
            each.named(new)

    def stop(self) -> None:
        """Has a `step` that runs end at its next question."""
        self._stopping = True

    def _ask(self, name: str, kind: str) -> list[str]:
        if self._stopping:
            raise Unavailable("Guard is stopping")
        return self._resolver(name, kind)
