"""What some back ends can do or need beyond the role Firewall; the mirror asks for each by type."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


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
class Watched(Protocol):
    """Notices at once, and without reading everything, that somebody else was here."""

    def disturbed(self) -> bool:
        """Whether somebody else changed this kernel's firewall since this was last asked."""
        ...


@runtime_checkable
class Counting(Protocol):
    """Counts what it drops."""

    def dropped(self) -> dict[str, tuple[int, int]]:
        """(packets, bytes) dropped so far, by the name of a set."""
        ...
