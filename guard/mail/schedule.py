"""When a message is tried again, and when it is given up: KumoMTA's schedule. Pure.

The n-th pause, from 0, is `interval * 2**n`, at most `longest`; a message whose next attempt would
come after `max_age` has expired (queue.rs; docs, make_queue_config).
"""

from __future__ import annotations

from dataclasses import dataclass

_MOST_DOUBLINGS = 60
_LARGEST_SPREAD = 60.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """All in seconds; `longest` None has no limit."""

    interval: float = 20 * 60
    longest: float | None = None
    max_age: float = 7 * 86400

    def pause(self, attempts: int) -> float:
        """How long to wait after so many attempts, the last included, have failed."""
        doubled = self.interval * 2.0 ** min(max(attempts - 1, 0), _MOST_DOUBLINGS)
        return doubled if self.longest is None else min(doubled, self.longest)

    def jitter(self, chance: float) -> float:
        """`chance`, in [0, 1), as seconds around 0: a fortieth of the interval either way.

        The whole spread is at most a minute.
        """
        return (chance - 0.5) * min(self.interval / 20, _LARGEST_SPREAD)

    def next_attempt(
        self, created: float, now: float, attempts: int, chance: float = 0.5
    ) -> tuple[float, bool]:
        """When the next attempt would be, and whether the message has expired by then."""
        due = now + self.pause(attempts) + self.jitter(chance)
        return due, due > created + self.max_age


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `messages` in `period` seconds, evenly spread."""

    messages: int
    period: float

    def slot(self, last: float, now: float) -> float:
        """The moment of the next message when `last` was that of the one before."""
        return max(now, last + self.period / self.messages)
