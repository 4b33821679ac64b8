"""The reporter of AbuseIPDB as the daemon and the commands use it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from guard.lib.clock import Clock
from guard.lib.networks import canonical_address
from guard.lib.secrets import BadSecret
from guard.lib.webcall import CallFailed
from guard.reporters.abuseipdb.answers import Meaning, cleared, judge
from guard.reporters.abuseipdb.facts import unpacked
from guard.reporters.abuseipdb.intake import QUEUE
from guard.reporters.abuseipdb.rules import CLEAR, REPORT
from guard.reporters.abuseipdb.sender import Sender
from guard.reporters.outbox import Waiting
from guard.roles import BadInput, GuardError, Refused, Unavailable

NAME = "abuseipdb"
MOST_SHOWN = 1000
AT_ONCE = 500


class Desk:
    """What can be asked of the reporter. All but `tell` may wait."""

    def __init__(self, sender: Sender, clock: Clock) -> None:
        self._sender, self._clock = sender, clock
        self._last: dict[str, int] = {}

    def turn(self, now: float) -> float:
        """A step of the sender, after which `tell` knows how things are."""
        pause = self._sender.step(now)
        self._look(now)
        return pause

    def kept(self, keep: Callable[[float], float]) -> Callable[[float], float]:
        """`keep`, after which `tell` knows how much waits."""

        def turn(now: float) -> float:
            pause = keep(now)
            try:
                self._last.update(self._sender.outbox.counts(QUEUE))
            except GuardError as error:
                self._sender.error = str(error)
            return pause

        return turn

    def _look(self, now: float) -> None:
        try:
            counts = self._sender.outbox.counts(QUEUE)
            self._last = {**counts, "quota left": self._sender.rules.left(REPORT, now)}
        except GuardError as error:
            self._sender.error = self._sender.error or str(error)

    def tell(self) -> dict[str, Any]:
        """The row of `guard status`, as of the last step. Costs nothing."""
        mode = {"mode": "dry run"} if self._sender.settings.dry_run else {}
        return {"name": NAME, **mode, **self._last, "error": self._sender.error}

    def rows(self, *, now: float) -> list[dict[str, Any]]:
        """What waits, the worst first."""
        return [self._row(one) for one in self._sender.outbox.waiting(QUEUE, MOST_SHOWN)]

    def _row(self, waiting: Waiting) -> dict[str, Any]:
        facts = unpacked(waiting.payload)
        return {
            "address": facts.address,
            "categories": facts.categories,
            "comment": self._sender.line(facts).comment,
            "time": facts.time,
            "due": waiting.due,
            "attempts": waiting.attempts,
            "error": waiting.error,
        }

    def send(self, *, now: float, dry_run: bool = False) -> dict[str, Any]:
        """Tells now what is due, as far as the rules allow; with `dry_run` says what that is."""
        sender, outbox = self._sender, self._sender.outbox
        if dry_run:
            due = outbox.take(QUEUE, now, MOST_SHOWN)
            rows = [
                row for row in map(self._row, due) if not sender.fitness.against(row["address"])
            ]
            return {**self.tell(), "would send": rows}
        before = outbox.counts(QUEUE)
        sender.go_on(now)
        for _ in range(AT_ONCE):
            before_one = outbox.counts(QUEUE)
            if sender.step(self._clock()) > 0 and outbox.counts(QUEUE) == before_one:
                break
        self._look(self._clock())
        after = outbox.counts(QUEUE)
        told = {name: n - before.get(name, 0) for name, n in after.items() if name != "waiting"}
        return {**self.tell(), "told": {name: n for name, n in told.items() if n}}

    def clear(self, *, now: float, address: str) -> dict[str, Any]:
        """Takes back all that this account reported of `address`, and what waits to be.

        Raises BadInput, Refused when AbuseIPDB does not do it, Unavailable when it cannot be asked.
        """
        try:
            text = canonical_address(address)
        except ValueError as error:
            raise BadInput(str(error)) from None
        forgotten = self._sender.outbox.remove(QUEUE, text)
        if forgotten:
            self._sender.outbox.count(QUEUE, "taken back")
        if self._sender.settings.dry_run:
            return {"address": text, "forgotten": forgotten, "deleted": 0, "dry_run": True}
        deleted = self._clear(text, now)
        self._sender.rules.not_told(text)
        return {"address": text, "forgotten": forgotten, "deleted": deleted, "dry_run": False}

    def _clear(self, address: str, now: float) -> int:
        api, rules = self._sender.api, self._sender.rules
        try:
            key = api.key()
            if not rules.spend(CLEAR, now):
                raise Unavailable("no address can be cleared any more today (clear_per_day)")
            answer = api.clear(key, address)
        except BadSecret as error:
            raise Refused(f"the key: {error}") from None
        except CallFailed as error:
            raise Unavailable(str(error)) from None
        verdict = judge(answer, key, now)
        if verdict.meaning is Meaning.TAKEN:
            return cleared(answer.body)
        if verdict.meaning is Meaning.SPENT:
            rules.told(CLEAR, 0, now)
        raise Refused(verdict.text)
