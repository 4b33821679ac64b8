"""Takes bans as they are made, and keeps of them what is to be reported.

`heard`, `banned` and `unbanned` are called by the thread that bans; they only remember. `keep`
writes to the outbox, in a thread of its own. Only what a jail saw here is told: never a list, a
hand, a ban on account of bans, nor a ban for which a list or a score lowered the bar, because
AbuseIPDB forbids reports that go in a circle (abuseipdb.com/reporting-policy).
"""

from __future__ import annotations

import logging
import re
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping

from guard.events import Claim, Event
from guard.jails.jail import Jail
from guard.jails.reasons import seen_here
from guard.lib.networks import Network, parse_address
from guard.reporters.abuseipdb.categories import categories
from guard.reporters.abuseipdb.facts import Facts, Part, merged, packed, unpacked
from guard.reporters.abuseipdb.seen import Seen
from guard.reporters.abuseipdb.settings import AbuseIpdbReportSettings
from guard.reporters.outbox import Item, Outbox, Waiting
from guard.roles import GuardError

log = logging.getLogger("guard.report")

QUEUE = "abuseipdb"
OLDEST = 60 * 86400.0 - 3600.0  # AbuseIPDB takes nothing older than 60 days
INBOX = 100_000  # what may come while the disk does not take it
IDLE, TROUBLE = 60.0, 5.0
_REASON = re.compile(r"([0-9]{1,15}) rejections? within ([0-9a-z]{1,20})")


class Intake:
    """The first half of the reporter. `key` is the network that an address is counted under."""

    def __init__(
        self,
        settings: AbuseIpdbReportSettings,
        outbox: Outbox,
        jails: Iterable[Jail],
        key: Callable[[Network], Network],
    ) -> None:
        self.wake: Callable[[], None] = lambda: (
            None
        )  # called when there is something to keep or send
        self._settings, self._outbox = settings, outbox
        self._jails: Mapping[str, Jail] = {f"jail:{jail.name}": jail for jail in jails}
        self._seen = Seen(key)
        self._banned: deque[tuple[Facts, float]] = deque()
        self._freed: deque[tuple[Network, float]] = deque()
        self._counts: Counter[str] = Counter()  # what the outbox has yet to be told
        self._trouble = ""
        self._keeping = threading.Lock()

    def heard(self, events: Iterable[Event]) -> None:
        """Remembers what addresses were refused."""
        self._seen.heard(events)

    def banned(self, claims: Iterable[Claim]) -> None:
        """Remembers those of `claims` that are to be told. Never waits, never raises."""
        told = [claim for claim in claims if seen_here(claim) and claim.source in self._jails]
        for claim in told:
            found = _REASON.fullmatch(claim.reason)
            why_not = self._take(claim, int(found[1]), found[2]) if found else ""
            if why_not:
                self._counts[why_not] += 1
        for claim in told:
            self._seen.forget(claim.network)
        if told:
            self.wake()

    def _take(self, claim: Claim, number: int, within: str) -> str:
        """Why `claim` is not told, empty when it is."""
        jail = self._jails[claim.source]
        deeds = self._seen.deeds(claim.network)
        address = self._address(claim.network, deeds.address if deeds else None)
        if address is None:
            return "not told for want of an address"
        kinds = {k: n for k, n in deeds.kinds.items() if k in jail.kinds} if deeds else {}
        numbers = categories(jail, kinds, self._settings.categories)
        if not numbers:
            return "not told for want of a category"
        if len(self._banned) >= INBOX:
            return "dropped as the disk was too slow"
        part = Part(number, within, kinds)
        facts = Facts(address, claim.since, claim.until, numbers, [part], str(claim.network))
        self._banned.append((facts, 1000.0 * max(0, claim.strikes - 1) + min(part.rejections, 999)))
        return ""

    def _address(self, network: Network, last: str | None) -> str | None:
        """The address that did it: of a wider network the one that was refused last."""
        if network.is_address:
            return str(network)
        if last is None or not network.covers(parse_address(last)):
            return None
        return last

    def unbanned(self, networks: Iterable[Network], now: float) -> None:
        """Remembers that these are free; one before its time was let go by hand."""
        self._freed.extend((network, now) for network in networks)
        if self._freed:
            self.wake()

    def keep(self, now: float) -> float:
        """Writes what came to the outbox; returns when to come again, in seconds."""
        try:
            with self._keeping:
                self._write(now)
                self._forgive()
        except GuardError as error:
            if str(error) != self._trouble:
                log.error("reports wait in memory: %s", error)
            self._trouble = str(error)
            return TROUBLE
        self._trouble = ""
        return IDLE

    def _write(self, now: float) -> None:
        pending = [self._banned[i] for i in range(len(self._banned))]
        items = [
            Item(
                packed(facts),
                expires=facts.time + OLDEST,
                key=facts.address,
                priority=priority,
                due=now + self._settings.after,
            )
            for facts, priority in pending
        ]
        if items:
            dropped = self._outbox.put(QUEUE, items, now, merge=merged)
            if dropped:
                log.warning("%d reports were dropped: too many wait", dropped)
        for _ in items:
            self._banned.popleft()
        if items:
            self.wake()  # whoever sends may have looked before they were there
        for name in list(self._counts):
            self._outbox.count(QUEUE, name, self._counts.pop(name))

    def _forgive(self) -> None:
        """What was let go by hand and not told yet never is."""
        while self._freed:
            network, when = self._freed[0]
            for one in self._waiting(network):
                until = unpacked(one.payload).until
                if (until is None or when < until - 1) and one.key is not None:
                    self._outbox.remove(QUEUE, one.key)
                    self._outbox.count(QUEUE, "taken back")
            self._freed.popleft()

    def _waiting(self, network: Network) -> list[Waiting]:
        if network.is_address:
            one = self._outbox.find(QUEUE, str(network))
            return [] if one is None else [one]
        waiting = self._outbox.waiting(QUEUE)
        return [one for one in waiting if one.key and network.covers(parse_address(one.key))]
