"""What one service may still be asked: a day's quota that hosts share, and a pace of this host."""

from __future__ import annotations

from collections import deque

from guard.enrichment.answers import LookUpFailed
from guard.lib.webcall import Answer
from guard.roles import Quotas

DAY, MINUTE = 86400.0, 60.0


RESERVE = 10  # of a day's questions a tenth is kept for whoever asks by hand


class Spent(LookUpFailed):
    """Guard asks no more for now; the service has said nothing."""


class Allowance:
    """`per_day` questions under `name` in `quotas`, `per_minute` (0 is any number) of this host.

    Used by one thread, but for `left`.
    """

    def __init__(self, quotas: Quotas, name: str, per_day: int, per_minute: int = 0) -> None:
        self._quotas, self._name = quotas, name
        self.per_day, self._per_minute = per_day, per_minute
        self._minute: deque[float] = deque()

    def take(self, now: float) -> None:
        """Spends one question. Raises LookUpFailed when there is none, Unavailable as the store."""
        if self._per_minute and self._of_this_minute(now) >= self._per_minute:
            wait = self._minute[0] + MINUTE - now
            raise Spent(f"{self._per_minute} questions a minute were asked", wait)
        if not self._quotas.take(self._name, self.per_day, 1, now):
            # Days are those of UTC, and so are multiples of 86400 since the epoch.
            raise Spent(f"the {self.per_day} questions of today are spent", DAY - now % DAY)
        self._minute.append(now)

    def spare(self, now: float) -> float:
        """Seconds until a question is spare: some are kept for whoever asks by hand.

        0 is now. Raises Unavailable as the store.
        """
        if self._per_minute and self._of_this_minute(now) >= max(1, self._per_minute - 1):
            return self._minute[0] + MINUTE - now
        if self.left(now) <= self.per_day // RESERVE:
            return DAY - now % DAY
        return 0.0

    def _of_this_minute(self, now: float) -> int:
        while self._minute and not now - MINUTE < self._minute[0] <= now:
            self._minute.popleft()
        return len(self._minute)

    def told(self, answer: Answer, now: float) -> None:
        """Takes the service's own word on what is left today."""
        left = answer.number("x-ratelimit-remaining")
        if left is not None:
            self._quotas.told(self._name, self.per_day, min(left, self.per_day), now)

    def left(self, now: float) -> int:
        """How many are left today. Raises Unavailable."""
        return self._quotas.left(self._name, self.per_day, now)
