"""Brakes on jails: a rule that suddenly bans many, or bans the well-known, is a rule gone wrong.

Pure: time is an argument, the answer says what to do and what to tell the operator.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from guard.lib.durations import format_duration

MINUTE, HOUR = 60.0, 3600.0


@dataclass(frozen=True, slots=True)
class Ruling:
    """Whether the ban may be made; `alarm` is one line for the operator, empty when not new."""

    ban: bool
    alarm: str = ""


_MADE, _STOPPED = Ruling(ban=True), Ruling(ban=False)


@dataclass(slots=True)
class _Jail:
    bans: deque[float] = field(default_factory=deque)
    good: deque[float] = field(default_factory=deque)
    stopped_until: float = 0.0
    alarmed_until: float = 0.0
    why: str = ""


@dataclass
class Brakes:
    """The state of every jail's brakes.

    `per_minute` new bans a minute are normal, more is an alarm, once a minute; 0 is no limit.
    With `halt` the jail also stops for `stop` seconds. A jail whose bans would meet
    `most_good` addresses in good standing within an hour is stopped in any case.
    """

    per_minute: int = 600
    halt: bool = False
    stop: float = 600.0
    most_good: int = 3
    _jails: dict[str, _Jail] = field(default_factory=dict)

    def ask(self, jail: str, now: float, *, good: bool = False) -> Ruling:
        """Rules on one ban that `jail` wants; `good` says that the address is in good standing."""
        state = self._jails.get(jail)
        if state is None:
            state = self._jails[jail] = _Jail()
        if now < state.stopped_until:
            return _STOPPED
        if good:
            _slide(state.good, now, HOUR)
            if self.most_good and len(state.good) >= self.most_good:
                why = f"{len(state.good)} addresses in good standing within an hour"
                return Ruling(ban=False, alarm=self._stop(jail, state, now, why))
        bans = state.bans
        if not bans or now - MINUTE < bans[0] <= now:
            bans.append(now)  # as _slide does: a thousand may come at once
        else:
            _slide(bans, now, MINUTE)
        if not self.per_minute or len(bans) <= self.per_minute:
            return _MADE
        if now < state.alarmed_until and not self.halt:
            return _MADE
        why = f"more than {self.per_minute} bans within a minute"
        if self.halt:
            return Ruling(ban=False, alarm=self._stop(jail, state, now, why))
        state.alarmed_until = now + MINUTE
        return Ruling(ban=True, alarm=f"jail {jail}: {why}")

    def stopped(self, now: float) -> dict[str, tuple[float, str]]:
        """The jails that are stopped, until when, and why."""
        return {
            name: (state.stopped_until, state.why)
            for name, state in self._jails.items()
            if now < state.stopped_until
        }

    def release(self, jail: str) -> bool:
        """Lets a stopped jail go on at once; whether it was known."""
        return self._jails.pop(jail, None) is not None

    def _stop(self, jail: str, state: _Jail, now: float, why: str) -> str:
        state.stopped_until, state.why = now + self.stop, why
        state.bans.clear()
        state.good.clear()
        return f"jail {jail} is stopped for {format_duration(self.stop)}: {why}"


def _slide(times: deque[float], now: float, span: float) -> None:
    """Adds `now` and drops what is older than `span`, or from a clock that was set back."""
    while times and not now - span < times[0] <= now:
        times.popleft()
    times.append(now)
