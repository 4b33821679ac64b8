"""Which store: the only place that chooses."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from guard.roles import Counters, Crowds, Ledger, Standing
from guard.stores.settings import StoreSettings


class Store(Protocol):
    """What belongs together, on one host or in one Redis."""

    @property
    def counters(self) -> Counters:
        """What is counted."""
        ...

    @property
    def ledger(self) -> Ledger:
        """Who is blocked."""
        ...

    @property
    def standing(self) -> Standing:
        """Who is in good standing."""
        ...

    @property
    def crowds(self) -> Crowds:
        """Which networks of a block were banned."""
        ...

    def said(self) -> str:
        """How it does, for the status: `answers`, or what is wrong and what that means."""
        ...

    def close(self) -> None:
        """Writes what is left and lets go of everything. Safe to repeat."""
        ...


def open_store(settings: StoreSettings, state_dir: Path, *, counting: bool = False) -> Store:
    """The store that `settings` name; the embedded one lies in `state_dir`.

    `counting` is for the daemon: what it owes Redis is kept in `state_dir` as well.

    Raises Unavailable when Redis does not answer, Refused when it or the files are not for us.
    """
    if (url := settings.redis) is not None:
        from guard.stores.shelter import ShelteredStore

        folder = state_dir if counting else None
        return ShelteredStore(url, folder, strikes_kept=settings.strikes)
    from guard.stores.embedded import EmbeddedStore

    return EmbeddedStore(state_dir, strikes_kept=settings.strikes)
