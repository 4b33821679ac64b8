"""Where accepted mail waits for delivery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class SpoolFile(Protocol):
    """One message that is being received. `id` is what commit will return."""

    id: str

    def write(self, data: bytes) -> None:
        """Adds bytes of the message. Raises Unavailable when the disk does not take them."""
        ...

    def commit(self) -> str:
        """Makes the message durable and returns its id. Only then may anybody say 250."""
        ...

    def abort(self) -> None:
        """Forgets the message. Safe at any time, also after commit, when it does nothing."""
        ...


class Spool(Protocol):
    """Where accepted mail waits for delivery."""

    def open(self) -> None:
        """Finds or makes the directories. Raises Refused when it cannot."""
        ...

    def create(self, sender: str, recipients: Sequence[str], meta: Mapping[str, str]) -> SpoolFile:
        """Begins a message with its envelope. Raises Unavailable when the disk does not."""
        ...
