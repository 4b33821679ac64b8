"""A file of reports, for when the day's single reports are spent and many wait.

A plan has few files a day, so that one goes at most every hour and only when it is worth it. Each
address in it keeps the rule of 15 minutes as a single report does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from guard.lib.secrets import Secret
from guard.lib.webcall import Answer, CallFailed
from guard.reporters.abuseipdb.answers import Meaning, judge, sort
from guard.reporters.abuseipdb.api import MOST_LINES, Api, Line, table
from guard.reporters.abuseipdb.facts import Facts, unpacked
from guard.reporters.abuseipdb.fitness import Fitness
from guard.reporters.abuseipdb.intake import QUEUE
from guard.reporters.abuseipdb.rules import AGAIN, BULK, UNDER_WAY, Rules
from guard.reporters.abuseipdb.settings import AbuseIpdbReportSettings
from guard.reporters.outbox import Outbox, Waiting

log = logging.getLogger("guard.report")

FEWEST = 100  # a limit of lines below this is no limit of lines


class Outcome(NamedTuple):
    """What became of a file: `error` is empty when it was taken, `wait` how long to stay away."""

    error: str = ""
    wait: float = 0.0


class Chosen(NamedTuple):
    """A report that may go into a file."""

    waiting: Waiting
    line: Line


class Bulk:
    """Makes files and sends them. `line` words facts."""

    def __init__(
        self,
        settings: AbuseIpdbReportSettings,
        outbox: Outbox,
        rules: Rules,
        api: Api,
        line: Callable[[Facts], Line],
        fitness: Fitness,
    ) -> None:
        self._from, self._outbox, self._rules, self._api = settings.bulk_from, outbox, rules, api
        self._line, self._fitness = line, fitness
        self._most = MOST_LINES

    def send(self, key: Secret, now: float) -> Outcome | None:
        """Sends one file if one may go and is worth it; None when it is not."""
        waiting = self._outbox.take(QUEUE, now, self._most)
        if len(waiting) < self._from:
            return None
        if any(one.error == UNDER_WAY for one in waiting):
            self._rules.no_file()
        if not self._rules.may_send_file(now):
            return None
        chosen = self._chosen(waiting, now)
        if not chosen:
            return Outcome()
        data, rows = table([one.line for one in chosen])
        for one in chosen[rows:]:
            self._rules.not_told(one.line.address)
        chosen = chosen[:rows]
        self._outbox.later([one.waiting.id for one in chosen], now, UNDER_WAY, failed=False)
        try:
            answer = self._api.bulk_report(key, data)
        except CallFailed as error:
            return self._undone(chosen, Outcome(str(error)), now)
        return self._settle(chosen, answer, key, now)

    def _chosen(self, waiting: Sequence[Waiting], now: float) -> list[Chosen]:
        chosen = []
        for one in waiting:
            facts = unpacked(one.payload)
            if self._fitness.dismissed(one, facts, now):
                continue
            if self._rules.may_tell(facts.address, one.error, now):
                chosen.append(Chosen(one, self._line(facts)))
            else:
                why = "reported less than 15 minutes ago"
                self._outbox.later([one.id], now + AGAIN, why, failed=False)
        return chosen

    def _settle(self, chosen: Sequence[Chosen], answer: Answer, key: Secret, now: float) -> Outcome:
        verdict = judge(answer, key, now)
        if verdict.meaning is Meaning.TAKEN:
            return self._taken(chosen, answer)
        if verdict.meaning is Meaning.SPENT:
            self._rules.told(BULK, 0, now)
        elif answer.status in (413, 422) and len(chosen) > FEWEST:
            self._most = len(chosen) // 2
            log.warning("a file of %d reports is too long: %s", len(chosen), verdict.text)
        return self._undone(chosen, Outcome(verdict.text, verdict.wait), now)

    def _undone(self, chosen: Sequence[Chosen], outcome: Outcome, now: float) -> Outcome:
        """Nothing of the file was taken: it goes again."""
        for one in chosen:
            self._rules.not_told(one.line.address)
        ids = [one.waiting.id for one in chosen]
        self._outbox.later(ids, now, outcome.error)
        self._rules.no_file()
        return outcome

    def _taken(self, chosen: Sequence[Chosen], answer: Answer) -> Outcome:
        """Sorts out what the answer says of single lines."""
        found = sort(answer.body, [one.line.address for one in chosen])
        if found is None:
            log.warning("a file of %d reports was taken; what it says of them is odd", len(chosen))
            self._done(chosen, {})
            return Outcome()
        fates = {
            **dict.fromkeys(found.duplicates, "duplicates"),
            **dict.fromkeys(found.refused, "refused"),
        }
        for address, why in found.refused.items():
            log.warning("the report of %s was refused: %s", address, why)
        expected = len(chosen) - len(fates)
        if found.saved != expected:
            log.warning("of a file of reports %d were saved, not %d", found.saved, expected)
        self._done(chosen, fates)
        log.info("a file of %d reports was sent, %d were taken", len(chosen), found.saved)
        return Outcome()

    def _done(self, chosen: Sequence[Chosen], fates: Mapping[str, str]) -> None:
        for fate in ("sent", "duplicates", "refused"):
            ids = [one.waiting.id for one in chosen if fates.get(one.line.address, "sent") == fate]
            if ids:
                self._outbox.done(QUEUE, ids, as_what=fate)
        self._outbox.count(QUEUE, "files")
