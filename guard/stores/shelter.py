"""A store in Redis that goes on while Redis is gone.

What is counted meanwhile is counted here, in windows that begin empty, and owed to Redis; claims of
jails are made here and owed, too. Both are on disk (outbox.py), so that a process that is killed
loses nothing. When Redis answers again both are brought to it: nothing is lost
within the bounds, nothing counted twice, and whom this host banned is banned everywhere. What the
operator or a feed asks is Unavailable meanwhile. Bans of before stay: in the kernel, and in what
was last read. Who is in good standing is not known then, so that everybody counts as good.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from guard.events import (
    Batch,
    Claim,
    Ended,
    Good,
    Offence,
    Overflow,
    Part,
    Past,
    Remembered,
    Window,
)
from guard.lib.networks import Network
from guard.lib.redis_url import RedisUrl
from guard.roles import Forbidden, Unavailable
from guard.stores.book import Book
from guard.stores.embedded_counters import EmbeddedCounters
from guard.stores.outbox import Outbox
from guard.stores.redis_store import RedisStore
from guard.stores.settings import STRIKES_KEPT

log = logging.getLogger("guard.stores")
T = TypeVar("T")

BOUND = 200_000
AGAIN = 2.0
# Later than any event: whoever asks finds it recent.
_ALWAYS = 1e12
_SEPARATOR = "|"


class Shelter:
    """The roles Counters, Ledger, Standing and Crowds at once. Begins with a Redis that answers.

    `dropped` counts rejections that found no room while Redis was gone.
    """

    def __init__(
        self,
        store: RedisStore,
        outbox: Outbox | None = None,
        *,
        bound: int = BOUND,
        again: float = AGAIN,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._bound, self._again, self._clock = store, bound, again, clock
        self.error = ""
        self.dropped = 0
        self._next_try = 0.0
        self._outbox = outbox or Outbox()
        self._before = list(self._outbox.open)
        self._told: list[Overflow] = []
        self._known: dict[tuple[Network, str], Claim] = {}  # what was last read, or made here
        self._begin()
        self._settle()

    def _begin(self) -> None:
        """Empties what is counted and claimed here."""
        self._here = EmbeddedCounters()
        self._book = Book(STRIKES_KEPT)

    @property
    def owed(self) -> int:
        """How many offences Redis has yet to hear of."""
        return self._outbox.size

    def said(self) -> str:
        """For the status."""
        number = self.dropped + self._store.counters.dropped
        dropped = f"; {number} rejections dropped" if number else ""
        if not self.error:
            return "answers" + dropped
        return f"{self.error}; counting here, {self.owed} to be brought to it{dropped}"

    # Going and coming back -----------------------------------------------------------------------

    def _ask(self, question: Callable[[], T]) -> T | None:
        """The answer of Redis; None while it is gone."""
        if self.error and self._clock() < self._next_try:
            return None
        try:
            if self.error:
                self._settle()
            answer = question()
        except (Unavailable, Forbidden) as error:
            if not self.error:
                log.error("%s; bans stay, and what comes is counted on this host", error)
            self.error = str(error)
            self._next_try = self._clock() + self._again
            return None
        if self.error:
            log.warning("Redis answers again; %d rejections were dropped so far", self.dropped)
            self.error = ""
            self._begin()
        return answer

    def _answers(self) -> bool:
        """Whether Redis does now. It is asked something, though it may be owed nothing."""
        return self._ask(lambda: self._store.ledger.changes("")) is not None

    def _settle(self) -> None:
        """Brings Redis what it missed; what it took is owed no more. Raises Unavailable."""
        while self._outbox.claims:
            claim, now = self._outbox.claims[0]
            self._know(self._store.ledger.claim([claim], now))
            self._outbox.brought()
        self._bring()

    def _bring(self) -> list[Overflow]:
        """Has Redis count what it is owed; all that filled and was not told yet."""
        while self._outbox.owed:
            owed, counters = self._outbox.head(), self._store.counters
            found = counters.tell(owed)
            late = counters.late
            self._outbox.answered(owed, found, wholly=owed[:2] not in late)
            self._outbox.completed(late)
            self._told += found
        return self._told

    def _tell(self, act: Callable[[], None]) -> bool:
        """Whether Redis was told."""

        def told() -> bool:
            act()
            return True

        return self._ask(told) or False

    def _must(self, question: Callable[[], T]) -> T:
        """The answer of Redis. Raises Unavailable while it is gone."""
        if (answer := self._ask(question)) is None:
            raise Unavailable(self.error)
        return answer

    # Counters ------------------------------------------------------------------------------------

    def count(self, offences: Sequence[Offence], windows: Mapping[str, Window]) -> list[Overflow]:
        """The role's; never Unavailable."""
        found = self._count(Batch([Part(offences, windows)] if offences else ()))
        # Late ones of other jails are for whoever asks and knows them.
        self._told = [overflow for overflow in found if overflow.jail not in windows]
        return [overflow for overflow in found if overflow.jail in windows]

    def count_once(self, batch: Batch) -> list[Overflow]:
        """The role's; never Unavailable.

        Names with a stroke are windows of others than jails, whose moment has gone.
        """
        if batch.settled and self._told:  # not yet, for these
            batch = batch._replace(settled=False)
        if batch.settled:
            self._before = []
        found, self._told = self._count(batch), []
        return [overflow for overflow in found if "/" not in overflow.jail]

    def _count(self, batch: Batch) -> list[Overflow]:
        """What `batch` filled, and late ones before it; counted here while Redis is gone."""
        if self.error and not self._answers():
            batch = self._bounded(batch)
        owed = self._outbox.note(batch)
        if (found := self._ask(self._bring)) is not None:
            return found
        if owed is not None:
            for offences, windows in batch.parts:
                self._told += self._here.count(offences, windows)
        return self._told

    def _bounded(self, batch: Batch) -> Batch:
        """As much of `batch` as there is room for."""
        room = max(0, self._bound - self._outbox.size)
        parts: list[Part] = []
        for offences, windows in batch.parts:
            if offences[:room]:
                parts.append(Part(offences[:room], windows))
            self.dropped += sum(offence.rejections for offence in offences[room:])
            room = max(0, room - len(offences))
        return batch._replace(parts=parts)

    def mark(self, source: str) -> bytes | None:
        """The role's."""
        return self._outbox.marks.get(source)

    def unsettled(self) -> list[Overflow]:
        """The role's."""
        return self._before

    def counted(self, network: Network) -> list[Offence]:
        """The role's; what was counted here while Redis is gone.

        Unavailable then, while it has to tell what came of overflows before the start.
        """
        found = self._ask(lambda: self._store.counters.counted(network))
        if found is None and self._before:
            raise Unavailable(self.error)
        return self._here.counted(network) if found is None else found

    def forget(self, *networks: Network) -> None:
        """The role's."""
        if not self._tell(lambda: self._store.counters.forget(*networks)):
            raise Unavailable(self.error)
        self._outbox.forget(*networks)

    # Ledger --------------------------------------------------------------------------------------

    def claim(self, claims: Sequence[Claim], now: float) -> list[Claim]:
        """The role's; Unavailable for any but jails' while Redis is gone."""
        made = self._ask(lambda: self._store.ledger.claim(claims, now))
        if made is not None:
            self._know(made)
            return made
        if any(not claim.source.startswith("jail:") for claim in claims):
            raise Unavailable(self.error)
        for claim in claims:
            self._outbox.banned(claim, now)
        return [self._book.claim(claim, now) for claim in claims]

    def withdraw(self, network: Network | None, source: str | None, now: float) -> list[Claim]:
        """The role's."""
        ended = self._must(lambda: self._store.ledger.withdraw(network, source, now))
        for claim in ended:
            self._known.pop((claim.network, claim.source), None)
        return ended

    def empty(self, now: float) -> Iterator[Ended]:
        """The role's."""
        pieces, last = self._store.ledger.empty(now), Ended([], frozenset())
        while (piece := self._must(lambda: next(pieces, last))) is not last:
            self._known = {}
            yield piece

    def replace(self, source: str, claims: Sequence[Claim], now: float) -> tuple[int, int]:
        """The role's."""
        return self._must(lambda: self._store.ledger.replace(source, claims, now))

    def claims(self, now: float) -> list[Claim]:
        """The role's; while Redis is gone as it was last read, and what was claimed here."""
        found = self._ask(lambda: self._store.ledger.claims(now))
        if found is not None:
            self._known = {}
            self._know(found)
            return found
        here = self._book.claims(now)
        replaced = {(claim.network, claim.source) for claim in here}
        held = (claim for key, claim in self._known.items() if key not in replaced)
        live = [claim for claim in held if claim.until is None or claim.until > now]
        return sorted([*live, *here], key=lambda claim: claim.since)

    def size(self, now: float) -> int:
        """The role's."""
        found = self._ask(lambda: self._store.ledger.size(now))
        return len(self.claims(now)) if found is None else found

    def _know(self, claims: Iterable[Claim]) -> None:
        """Remembers claims for when Redis is gone."""
        self._known.update(((claim.network, claim.source), claim) for claim in claims)

    def past(self, networks: Sequence[Network], now: float) -> list[Past]:
        """The role's; while Redis is gone from `claims`, and the strikes made here."""
        found = self._ask(lambda: self._store.ledger.past(networks, now))
        if found is not None:
            self._know(claim for past in found for claim in past.claims)
            return found
        asked = set(networks)
        held: dict[Network, list[Claim]] = {}
        for claim in self.claims(now):
            if claim.network in asked:
                held.setdefault(claim.network, []).append(claim)
        here = zip(networks, self._book.pasts(networks, now), strict=True)
        return [Past(tuple(held.get(network, ())), past.strikes) for network, past in here]

    def remembered(self) -> list[Remembered]:
        """The role's."""
        return self._must(self._store.ledger.remembered)

    def remember(self, rows: Sequence[Remembered]) -> None:
        """The role's."""
        if not self._tell(lambda: self._store.ledger.remember(rows)):
            raise Unavailable(self.error)

    def restore(self, claims: Sequence[Claim], now: float) -> None:
        """The role's."""
        if not self._tell(lambda: self._store.ledger.restore(claims, now)):
            raise Unavailable(self.error)

    def changes(self, cursor: str) -> tuple[str, set[Network] | None]:
        """The role's; while Redis is gone what changed here."""
        there, _, here = cursor.partition(_SEPARATOR)
        answer = self._ask(lambda: self._store.ledger.changes(there))
        if answer is not None:
            return answer
        if not there:
            raise Unavailable(self.error)
        version = int(here) if here.isdecimal() else 0
        return f"{there}{_SEPARATOR}{self._book.version}", self._book.changed_since(version)

    # Standing and crowds -------------------------------------------------------------------------

    def note(self, goods: Sequence[Good]) -> None:
        """The role's; lost while Redis is gone, and said again by the next good mail."""
        self._tell(lambda: self._store.standing.note(goods))

    def known(self, networks: Sequence[Network]) -> list[Good | None]:
        """The role's; everybody while Redis is gone."""
        found = self._ask(lambda: self._store.standing.known(networks))
        if found is not None:
            return found
        return [Good(network, _ALWAYS, "not known while Redis is gone") for network in networks]

    def join(self, block: Network, member: Network, time: float, within: float) -> int:
        """The role's; nobody is a crowd while Redis is gone."""
        return self._ask(lambda: self._store.crowds.join(block, member, time, within)) or 0

    def leave(self, gone: Mapping[Network, Sequence[Network]]) -> None:
        """The role's."""
        if not self._tell(lambda: self._store.crowds.leave(gone)):
            raise Unavailable(self.error)

    def close(self) -> None:
        """Brings Redis what it missed, if it answers now; closes the connections."""
        if self.error:
            self._next_try = 0.0
            self._answers()
        if self.error and (self.owed or self._outbox.claims):
            log.warning("%d rejections are %s", self.owed, self._outbox.kept)
        self._outbox.close()
        self._store.close()


class ShelteredStore:
    """A store whose parts are all one Shelter. With `folder`, what it owes Redis is kept there."""

    def __init__(
        self, url: str | RedisUrl, folder: Path | None = None, *, strikes_kept: float = STRIKES_KEPT
    ) -> None:
        with ExitStack() as stack:
            outbox = Outbox(folder)
            stack.callback(outbox.close)
            store = RedisStore(url, strikes_kept=strikes_kept)
            stack.callback(store.close)
            self.shelter = Shelter(store, outbox)
            stack.pop_all()
        self.counters = self.ledger = self.standing = self.crowds = self.shelter

    def said(self) -> str:
        """For the status."""
        return self.shelter.said()

    def close(self) -> None:
        """Closes the connections. Safe to repeat."""
        self.shelter.close()
