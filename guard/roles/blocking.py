"""Who is never blocked, and what blocks everybody else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

from guard.events import Block
from guard.lib.networks import Network


class Protection(Protocol):
    """Who is never blocked. Asked for every network before a claim is made and before a block."""

    def protects(self, network: Network) -> str | None:
        """Why no address of `network` may be blocked, in a few words, or None when it may be.

        The network is tested, not one address: a block that covers anybody protected is
        protected. Costs a microsecond or two.
        """
        ...


@runtime_checkable
class Carving(Protocol):
    """A Protection that says what may be blocked of a network that it protects in part."""

    def carve(self, network: Network) -> list[Network]:
        """`network` itself, the pieces of it that nobody protects, or nothing at all."""
        ...


class Firewall(Protocol):
    """A kernel, a router or a pretence that drops what the ledger says.

    The order of calls is open, then apply, replace and blocked in any order, then close. A block
    outlives this process, and ends at its `until` without it where the back end can do that.
    """

    name: str

    def open(self) -> None:
        """Makes table, sets and rules, or finds them. May be called again: it repairs.

        Raises Refused when this machine cannot, with the reason and what would help.
        """
        ...

    def apply(self, block: Sequence[Block], release: Sequence[Network], now: float) -> None:
        """Blocks and releases in one transaction. Repeats and strangers are no errors."""
        ...

    def replace(self, blocks: Iterable[Block], now: float) -> None:
        """Makes `blocks` all that is blocked, with no moment in which less is."""
        ...

    def blocked(self, now: float) -> dict[Network, float | None]:
        """What the back end itself says it blocks, each with its end."""
        ...

    def close(self, *, clear: bool = False) -> None:
        """Lets go. The blocks stay, unless `clear` says to remove all that is ours."""
        ...
