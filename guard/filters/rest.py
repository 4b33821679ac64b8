"""Rest for expressions that take too long: strangers write both the filters and the lines.

A search that ran into its deadline is a strike; after STRIKES of them the expression is left out
for REST seconds. So the slowest expression costs STRIKES deadlines a minute, whatever the log says.
"""

from __future__ import annotations

from dataclasses import dataclass

# How long one search may take. The slowest honest one (a dovecot line) takes 0.3 ms.
DEADLINE = 0.05
STRIKES = 3
REST = 60.0


class Expired(Exception):
    """A search that took longer than DEADLINE."""


@dataclass(slots=True)
class Rest:
    """How often one expression was too slow in all, and until when it rests."""

    expired: int = 0
    strikes: int = 0
    until: float = float("-inf")

    def strike(self, now: float) -> None:
        """Notes a search that expired."""
        self.expired += 1
        self.strikes += 1
        if self.strikes >= STRIKES:
            self.strikes, self.until = 0, now + REST
