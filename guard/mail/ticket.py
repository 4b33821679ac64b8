"""One message in one attempt: several sites serve its recipients, one account is kept of all.

Pure but for the clock that it is told: it takes outcomes, and says what is to be recorded and what
is to be written down.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from guard.lib.timestamps import rfc3339
from guard.mail.deliveryrecords import Outcome
from guard.mail.dsn import Failure
from guard.mail.replies import failure, is_permanent, is_success, one_line
from guard.mail.schedule import Schedule
from guard.mail.waiting import Message, State

_HARDEST = 551


@dataclass(frozen=True, slots=True)
class Verdict:
    """The end of an attempt. `state` None: nobody is left, the message may go."""

    state: State | None
    expired: Mapping[str, Outcome]
    failures: tuple[Failure, ...]


class Ticket:
    """The account of one attempt at `message`, in `jobs` parts.

    `writing` is held by whoever writes it down, so that the end is written last.
    """

    def __init__(self, message: Message, jobs: int) -> None:
        self.message, self.open_jobs = message, jobs
        self.writing = asyncio.Lock()
        self._left = dict.fromkeys(message.left)
        self._failed: dict[str, Outcome] = {}
        self._last: dict[str, Outcome] = {}

    def note(self, outcomes: Mapping[str, Outcome]) -> bool:
        """Takes the outcomes of one job; says whether somebody was served."""
        self.open_jobs -= 1
        served = False
        for address, outcome in outcomes.items():
            if is_success(outcome.response):
                self._left.pop(address, None)
                served = True
            elif is_permanent(outcome.response):
                self._failed[address] = outcome
            else:
                self._last[address] = outcome
        return served

    def interim(self) -> State:
        """What to write down while other jobs go on: who needs no second copy.

        Who was refused for good is still there: a crash now must not lose the bounce.
        """
        return msgspec.structs.replace(self.message.state, left=list(self._left))

    def close(self, schedule: Schedule, now: float, chance: float) -> Verdict:
        """The end of the attempt, when every job is done."""
        left = [address for address in self._left if address not in self._failed]
        attempts = self.message.state.attempts + 1
        failures = [_failure(address, out) for address, out in self._failed.items()]
        if not left:
            return Verdict(None, {}, tuple(failures))
        created = self.message.envelope.created
        due, over = schedule.next_attempt(created, now, attempts, chance)
        if not over:
            state = State(attempts, due, left=left, last=self._reason(left))
            return Verdict(state, {}, tuple(failures))
        end = failure(
            _HARDEST,
            (5, 4, 7),
            f"Next delivery time {rfc3339(due)} is after the message expires "
            f"at {rfc3339(created + schedule.max_age)}",
        )
        expired = {address: Outcome(end) for address in left}
        failures += [
            _failure(address, self._last.get(address, expired[address]), expired=True)
            for address in left
        ]
        return Verdict(None, expired, tuple(failures))

    def _reason(self, left: Iterable[str]) -> str:
        reasons = [
            one_line(self._last[address].response) for address in left if address in self._last
        ]
        return reasons[-1] if reasons else ""


def _failure(address: str, outcome: Outcome, *, expired: bool = False) -> Failure:
    host = outcome.host.name if outcome.host else ""
    return Failure(address, outcome.response, host, expired)
