"""What some back ends can do or need beyond the role Firewall; the mirror asks for each by type."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

from guard.events import Block
from guard.lib.networks import Network


class Holding(Protocol):
    """What blocks can be laid into: a firewall, or the sets of one group in it."""

    def apply(self, block: Sequence[Block], release: Sequence[Network], now: float) -> None:
        """The role's."""
        ...

    def replace(self, blocks: Iterable[Block], now: float) -> None:
        """The role's."""
        ...

    def blocked(self, now: float) -> dict[Network, float | None]:
        """The role's."""
        ...


@runtime_checkable
class Hosting(Protocol):
    """Blocks many IPv4 addresses at once, without a value for each: a fifth of the cost."""

    def block_hosts(self, keys: bytes, until: Sequence[float], now: float) -> bool:
        """As `apply` of blocks; `keys` has four bytes of each address, `until` its end.

        False where it cannot be done so: then nothing is.
        """
        ...


@runtime_checkable
class Settling(Protocol):
    """Works on a change while whoever asked for it goes on."""

    def post(self, block: Sequence[Block], release: Sequence[Network], now: float) -> None:
        """As `apply`, begun when this returns. Whatever is asked afterwards is done after it."""
        ...

    def settle(self) -> None:
        """Waits until all that was posted is done. Raises the first failure of it."""
        ...


@runtime_checkable
class Grouping(Protocol):
    """Keeps groups of blocks apart, each in sets of its own; itself it is the group ""."""

    groups: tuple[str, ...]

    def group(self, name: str) -> Holding:
        """The sets of one of `groups`. Works while the firewall is open."""
        ...

    def tidy(self) -> None:
        """Removes sets of groups that there are no longer; until then they stay in force.

        Called when all that they held has been laid in others.
        """
        ...


@runtime_checkable
class Tidying(Protocol):
    """Has something to remove when all blocks have been laid."""

    def tidy(self) -> None:
        """As Grouping's; removes also what another back end left in force."""
        ...


@runtime_checkable
class Capped(Protocol):
    """Cannot count beyond `longest` seconds: a later end is laid for so long and laid again."""

    longest: float


@runtime_checkable
class Untimed(Protocol):
    """Its blocks do not end by themselves: somebody has to say when they are over."""

    def expire(self, now: float) -> None:
        """Releases the blocks whose end has come. Cheap when there are none."""
        ...


@runtime_checkable
class Checked(Protocol):
    """Can look at its own rules."""

    def faults(self) -> list[str]:
        """What somebody removed or changed; `open` puts it right. Empty when all is well."""
        ...

    def warnings(self) -> list[str]:
        """What is not ours to change and lets blocked packets pass."""
        ...


@runtime_checkable
class Glanced(Checked, Protocol):
    """Can look at its own rules often, at next to no cost: every `glance` seconds."""

    glance: float


@runtime_checkable
class Watched(Protocol):
    """Notices at once, and without reading everything, that somebody else was here."""

    def disturbed(self) -> bool:
        """Whether somebody else changed this kernel's firewall since this was last asked."""
        ...


@runtime_checkable
class Shown(Protocol):
    """Has more than one make-up, each shown by a program of its own."""

    shown_by: str


@runtime_checkable
class Counting(Protocol):
    """Counts what it drops."""

    def dropped(self) -> dict[str, tuple[int, int]]:
        """(packets, bytes) dropped so far, by the name of a set."""
        ...
