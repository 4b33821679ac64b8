"""A firewall that blocks nobody: it remembers and says what it would do.

What `guard up` uses without privileges, and what tests of other parts use. The shortest example
of the role. It forgets everything when the process ends.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from guard.events import Block
from guard.lib.durations import format_duration
from guard.lib.networks import Network

_log = logging.getLogger(__name__)
_FEW = 20


class DryRun:
    """Keeps blocks in memory and logs each change as what would have been done."""

    name = "dry-run"

    def __init__(self) -> None:
        self._blocks: dict[Network, float | None] = {}

    def open(self) -> None:
        """Nothing to open."""

    def apply(self, block: Sequence[Block], release: Sequence[Network], now: float) -> None:
        """Remembers the change, and logs it: each network, or a count when they are many."""
        self._forget(now)
        wanted = dict(block)
        came = {net: until for net, until in wanted.items() if until is None or until > now}
        gone = [net for net in {*release, *wanted} - came.keys() if net in self._blocks]
        for network in gone:
            del self._blocks[network]
        self._blocks.update(came)
        if len(gone) + len(came) > _FEW:
            _log.info("would block %d networks and release %d", len(came), len(gone))
            return
        for network in gone:
            _log.info("would release %s", network)
        for network, until in came.items():
            left = "ever" if until is None else format_duration(until - now)
            _log.info("would block %s for %s", network, left)

    def replace(self, blocks: Iterable[Block], now: float) -> None:
        """Remembers `blocks` and nothing else."""
        self._blocks = {net: until for net, until in blocks if until is None or until > now}
        if self._blocks:
            _log.info("would block %d networks and no others", len(self._blocks))

    def blocked(self, now: float) -> dict[Network, float | None]:
        """What would be blocked now."""
        self._forget(now)
        return dict(self._blocks)

    def close(self, *, clear: bool = False) -> None:
        """Forgets, when `clear` says so."""
        if clear:
            self._blocks.clear()

    def _forget(self, now: float) -> None:
        over = [net for net, until in self._blocks.items() if until is not None and until <= now]
        for network in over:
            del self._blocks[network]
