"""Tells AbuseIPDB what waits, the worst first, as fast as the rules allow and no faster.

One report a step. Whatever does not arrive stays in the outbox: a fault of the server or the way
there holds everything back for a while, longer each time; the day's quota until it is given anew.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence

from guard.lib.durations import format_duration
from guard.lib.secrets import BadSecret, Secret
from guard.lib.webcall import Answer, CallFailed
from guard.reporters.abuseipdb.answers import Meaning, judge
from guard.reporters.abuseipdb.api import Api, Line
from guard.reporters.abuseipdb.bulk import Bulk
from guard.reporters.abuseipdb.facts import Facts, unpacked
from guard.reporters.abuseipdb.fitness import Fitness
from guard.reporters.abuseipdb.intake import QUEUE
from guard.reporters.abuseipdb.rules import AGAIN, REPORT, UNDER_WAY, Rules
from guard.reporters.abuseipdb.settings import AbuseIpdbReportSettings
from guard.reporters.abuseipdb.wording import comment, timestamp
from guard.reporters.outbox import Outbox, Waiting
from guard.roles import GuardError

log = logging.getLogger("guard.report")

LOOK = 60.0  # seconds between two looks at an outbox where nothing is due
FIRST_PAUSE, LONGEST_PAUSE = 30.0, 3600.0
KEY_PAUSE = 1800.0
STORE_PAUSE = 15.0
PATIENCE = 5.0  # for a call that is under way, when a command asks
SHORT_PAUSE = 900.0  # with the quota spent, between two looks whether a file is worth it
DAY = 86400.0


class Sender:
    """The second half of the reporter. `error` is why nothing goes out, empty when it does."""

    def __init__(
        self,
        settings: AbuseIpdbReportSettings,
        outbox: Outbox,
        rules: Rules,
        api: Api,
        fitness: Fitness,
        ports: Sequence[int],
        *,
        chance: Callable[[], float] | None = None,
    ) -> None:
        self.settings, self.outbox, self.rules, self.api = settings, outbox, rules, api
        self.fitness, self._ports = fitness, ports
        self._chance = chance or random.SystemRandom().random
        self._bulk = Bulk(settings, outbox, rules, api, self.line, fitness)
        self._turn = threading.Lock()
        self._hold = 0.0
        self._failures = 0
        self.error = ""

    def line(self, facts: Facts) -> Line:
        """What would be sent of `facts`."""
        numbers = ",".join(map(str, facts.categories))
        return Line(facts.address, numbers, timestamp(facts.time), comment(facts, self._ports))

    def go_on(self, now: float) -> None:
        """Forgets why nothing goes out, so that the next step tries, what failed too."""
        self._hold, self._failures, self.error = 0.0, 0, ""
        self.outbox.hurry(QUEUE, now)

    def step(self, now: float) -> float:
        """Tells of one offender, if one may be told of; how many seconds until the next step."""
        if not self._turn.acquire(timeout=PATIENCE):
            self.error = self.error or "AbuseIPDB has not answered the last report yet"
            return LOOK
        try:
            if now < self._hold <= now + DAY + SHORT_PAUSE:  # a clock set back holds nobody
                return min(self._hold - now, LOOK)
            return self._step(now)
        except GuardError as error:
            return self.hold(now, STORE_PAUSE, str(error))
        finally:
            self._turn.release()

    def _step(self, now: float) -> float:
        gone = self.outbox.expire(QUEUE, now)
        if gone:
            log.warning("%d reports became older than AbuseIPDB takes, and were dropped", gone)
        taken = self.outbox.take(QUEUE, now, 1)
        if not taken:
            due = self.outbox.next_due(QUEUE)
            return LOOK if due is None else min(max(due - now, 0.05), LOOK)
        return self._tell(taken[0], now)

    def _tell(self, waiting: Waiting, now: float) -> float:
        facts = unpacked(waiting.payload)
        if self.fitness.dismissed(waiting, facts, now):
            return 0.0
        if self.settings.dry_run:
            line = self.line(facts)
            said = "dry run: would report %s as %s: %s"
            log.info(said, line.address, line.categories, line.comment)
            self.outbox.done(QUEUE, [waiting.id], as_what="dry run")
            return 0.0
        return self._report(waiting, facts, now)

    def _report(self, waiting: Waiting, facts: Facts, now: float) -> float:
        try:
            key = self.api.key()
        except BadSecret as error:
            return self.hold(now, KEY_PAUSE, f"the key: {error}")
        address = facts.address
        if not self.rules.may_tell(address, waiting.error, now):
            why = "reported less than 15 minutes ago"
            self.outbox.later([waiting.id], now + AGAIN, why, failed=False)
            return 0.0
        if not self.rules.spend(REPORT, now):
            self.rules.not_told(address)
            return self._short(key, now)
        self.outbox.later([waiting.id], waiting.due, UNDER_WAY, failed=False)
        try:
            answer = self.api.report(key, self.line(facts))
        except CallFailed as error:
            return self._failed(waiting, address, now, str(error))
        return self._settle(waiting, address, answer, key, now)

    def _settle(
        self, waiting: Waiting, address: str, answer: Answer, key: Secret, now: float
    ) -> float:
        verdict = judge(answer, key, now)
        if verdict.meaning is not Meaning.SPENT:
            self.rules.told(REPORT, answer.number("x-ratelimit-remaining"), now)
        if verdict.meaning in _FINAL:
            self.outbox.done(QUEUE, [waiting.id], as_what=_FINAL[verdict.meaning])
            if verdict.meaning is Meaning.INVALID:
                log.warning("the report of %s was refused: %s", address, verdict.text)
            self._failures, self.error = 0, ""
            return 0.0
        if verdict.meaning is Meaning.FAILED:
            return self._failed(waiting, address, now, verdict.text)
        self.rules.not_told(address)
        self.outbox.later([waiting.id], now, verdict.text, failed=False)
        if verdict.meaning is Meaning.SPENT:
            self.rules.told(REPORT, 0, now)
            return self._short(key, now, verdict.wait)
        pause = verdict.wait if verdict.meaning is Meaning.SLOW else KEY_PAUSE
        return self.hold(now, pause, verdict.text)

    def _failed(self, waiting: Waiting, address: str, now: float, why: str) -> float:
        """Puts this one behind the others too: it may be what the server cannot take."""
        self.rules.not_told(address)
        pause = self.backoff()
        self.outbox.later([waiting.id], now + pause, why)
        self.outbox.count(QUEUE, "failures")
        return self.hold(now, pause, why)

    def backoff(self) -> float:
        """The next pause of failures in a row."""
        self._failures += 1
        return min(FIRST_PAUSE * 2.0 ** min(self._failures - 1, 20), LONGEST_PAUSE)

    def hold(self, now: float, pause: float, why: str) -> float:
        """Sends nothing for a while; said once."""
        if why != self.error:
            log.warning("reports to AbuseIPDB wait: %s", why)
        self.error, self._hold = why, now + pause
        return min(pause, LOOK)

    def _short(self, key: Secret, now: float, wait: float = 0.0) -> float:
        """With the day's quota spent: a file where that is worth it, else until the next day."""
        outcome = self._bulk.send(key, now)
        if outcome is not None:
            if not outcome.error:
                self._failures, self.error = 0, ""
                return 0.0
            self.outbox.count(QUEUE, "failures")
            return self.hold(now, max(outcome.wait, self.backoff()), outcome.error)
        left = wait or DAY - now % DAY
        why = f"the day's quota is spent; more in {format_duration(left)}"
        spread = 60.0 * self._chance()  # not every host in the same second
        if "quota is spent" in self.error:
            self.error = why  # said already
        return self.hold(now, min(left + spread, SHORT_PAUSE), why)


_FINAL = {
    Meaning.TAKEN: "sent",
    Meaning.DUPLICATE: "duplicates",
    Meaning.INVALID: "refused",
}
