"""What a mirror asks of a ledger and of a protection, and no more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from guard.events import Claim, Past
from guard.lib.networks import Network


@runtime_checkable
class Versioned(Protocol):
    """A Protection that can say whether it changed."""

    version: int


class Followed(Protocol):
    """What a mirror asks of a ledger."""

    def claims(self, now: float) -> list[Claim]:
        """The role's."""
        ...

    def past(self, networks: Sequence[Network], now: float) -> list[Past]:
        """The role's."""
        ...

    def changes(self, cursor: str) -> tuple[str, set[Network] | None]:
        """The role's."""
        ...
