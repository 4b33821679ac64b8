"""From what was heard to what is claimed: events -> jails -> counters -> ledger.

One object, used by the one thread that also owns counters and ledger. It decides nothing by
itself: a jail says what is counted and when that is enough, the counters say when it was, the
protection says whom nothing may block, the ledger keeps what comes of it. Addresses are canonical
text from structured fields; nothing that a peer wrote is looked at.

Time: each event has its own, and bans begin at the rejection that filled the window. In live
operation `now` bounds it: an event of the future is taken as of now, one that is older than a
jail's window is not counted, and a ban that would be over already is not made (fail2ban does the
same). Without `now` an old log is replayed as if it were happening.

Order: a batch is on disk before it is counted, with the place in its log; then claims are decided,
some at a time, and the kernel hears of them at once; then the ledger makes them, on disk; then the
counters, which remembered the full windows until now, hear that these are settled. Whoever else is
told of a ban is told after that. So a crash between kernel and ledger leaves a block that no claim
is behind: the next start's mirror takes it away, its counters tell the windows again, and the same
claims are made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import SystemRandom
from typing import Protocol

from guard.events import Claim, Ended, Event, Mark, Overflow, Part
from guard.jails.bars import Bars
from guard.jails.crowd import Crowd
from guard.jails.jail import Jail
from guard.jails.once import Once
from guard.jails.settings import JailsSettings
from guard.lib.networks import Network, read_addresses
from guard.pipeline.claiming import Claiming, Decided
from guard.pipeline.judge import Judge, Tally
from guard.pipeline.putoff import PutOff
from guard.pipeline.routing import Routing
from guard.protect.doubt import Doubt
from guard.protect.restraint import Restraint
from guard.roles import Counters, Emptying, Ledger, Protection, Suspects, Unavailable

# Counted in one call: long enough to be cheap, short enough to leave the store to others.
SLICE = 5000
# Claimed in one go while the kernel is told of those before: its work on so many takes less time.
TOGETHER = 200
# Forgotten in one go when all are un-banned.
MANY = 20_000
MANUAL = "manual"


class Hurry(Protocol):
    """Tells the kernel of bans before the ledger has them. Neither call may raise."""

    def begin(self, claims: Sequence[Claim]) -> None:
        """Begins to block those whom `claims` are about to name, and nobody claims yet."""
        ...

    def wait(self) -> None:
        """Waits until all of that is done."""
        ...


@dataclass(slots=True)
class _Work:
    """How far a batch has come, so that one that met a lost store is not counted twice."""

    events: Sequence[Event]
    at: int = 0
    due: list[Part] | None = None
    new: bool = False
    overflows: list[Overflow] = field(default_factory=list)
    bans: list[Claim] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    hurry: Hurry | None = None
    again: bool = False  # these overflows may have led to claims before a crash


class Pipeline:
    """Runs `jails`. `settings` has the widths that addresses are counted by."""

    def __init__(
        self,
        jails: Iterable[Jail],
        counters: Counters,
        ledger: Ledger,
        protection: Protection,
        *,
        settings: JailsSettings | None = None,
        restraint: Restraint | None = None,
        crowd: Crowd | None = None,
        suspects: Sequence[Suspects] = (),
        chance: Callable[[], float] | None = None,
    ) -> None:
        self.tally = Tally()
        self._counters, self._ledger = counters, ledger
        self.restraint = restraint
        self._crowd = crowd
        running = {jail.name: jail for jail in jails}
        self._jails = running.keys()
        self._routing = Routing(running.values(), settings, self.tally)
        self._bars = Bars(suspects, self._routing.windows)
        self._put_off = PutOff(restraint)
        chosen = chance or SystemRandom().random
        judge = Judge(running.values(), protection, restraint, self._bars, chosen, self.tally)
        self._claiming = Claiming(judge, ledger, restraint, self._put_off, self.tally)
        self._doubt = Doubt()
        self._work: _Work | None = None
        self._once = Once(counters)
        self._left: _Work | None = _Work(())
        self._late = _Work(())  # what nobody heard of in time

    def key(self, network: Network) -> Network:
        """The network that `network` is counted under."""
        return self._routing.key(network)

    def hear(
        self,
        events: Sequence[Event],
        now: float | None,
        mark: Mark | None = None,
        hurry: Hurry | None = None,
    ) -> list[Claim]:
        """Counts `events`, in order, and returns the claims that came of them; None replays.

        Of many claims `hurry` is told some while others are not decided yet, and the ledger knows
        none: those on networks that nobody claims. When all are decided the kernel is waited for.

        With a `mark` they are counted at once: then all of them were, or none, whenever the process
        is killed. Raises Unavailable when the store is gone. Called again with the very same
        `events` it goes on where it was: nothing is counted twice.
        """
        work = self._work
        if work is None or work.events is not events:
            work = self._work = _Work(events)
        work.hurry = hurry
        with suppress(Unavailable):  # then it is tried again, and nothing is settled before
            work.claims += self._recover(now)
        size = SLICE if mark is None else max(1, len(events))
        while work.at < len(events):
            if work.due is None:
                some = events[work.at : work.at + size]
                met = self._meet(some)
                self._hear_good(some, met, now)
                offences = self._routing.offences(some, met, now)
                work.due = self._bars.parts(offences)
                self.tally.counted += len(offences)
                work.new = True
            if work.due or work.new:
                work.overflows += self._once.count(work.due, mark)
                work.new = False
            self._settle_all(work, now)
            work.due = None
            work.at += size
        self._work = None
        self.tally.heard += len(events)
        return work.claims

    def catch_up(self, now: float) -> list[Claim]:
        """Claims for windows that filled while nobody was told: in a store that was away."""
        if self._work is not None:  # a batch that met a lost store comes first
            return []
        claims = self._recover(now)
        late = self._late
        late.overflows += self._put_off.due()
        late.overflows += self._once.late(self._routing.windows)
        self._settle_all(late, now)
        claims += late.claims
        late.claims = []
        return claims

    def _recover(self, now: float | None) -> list[Claim]:
        """Claims for windows that had filled when the process before this one was killed."""
        if self._left is None:
            return []
        if self._left.at == 0:
            told = [overflow for overflow in self._once.left() if overflow.jail in self._jails]
            self._left = _Work((), at=1, overflows=told, again=True)
        left = self._left
        while left.overflows or left.bans:
            self._settle(left, now)
        self._left = None
        self._once.recovered()
        self._once.settle()
        return left.claims

    def _settle_all(self, work: _Work, now: float | None) -> None:
        while work.overflows or work.bans:
            self._settle(work, now)
        self._once.open = self._others_wait(work)
        self._once.settle()

    def _others_wait(self, work: _Work) -> bool:
        """Whether overflows that are none of `work` are not settled yet."""
        late = self._late
        return bool(self._put_off) or (work is not late and bool(late.overflows or late.bans))

    def _settle(self, work: _Work, now: float | None) -> None:
        """Makes claims of the overflows, and lets the claims count where bans count."""
        if work.overflows:
            self._claim_all(work, now)
        if work.bans:
            blocks = self._crowd.joined(work.bans) if self._crowd is not None else []
            work.overflows = self._count_bans(work.bans, again=work.again)
            work.bans, work.again = [], False
            work.claims += blocks

    def _count_bans(self, bans: Sequence[Claim], *, again: bool) -> list[Overflow]:
        """What jails that read bans count: those of other jails; `again`: but what they hold."""
        offences = self._routing.of_bans(bans)
        if again:
            held = {network: self._counters.counted(network) for _, network, *_ in offences}
            offences = [offence for offence in offences if offence not in held[offence.network]]
        return self._once.count_on(offences, self._routing.windows)

    def _meet(self, events: Sequence[Event]) -> dict[str, Network | None]:
        """Reads the addresses of `events`, each once: there is nothing to remember of them."""
        read = read_addresses({event.address for event in events})
        if self.restraint is not None:
            self.restraint.meet(read.values())
        self._routing.key_all(read)
        return read

    def _hear_good(
        self, events: Sequence[Event], met: dict[str, Network | None], now: float | None
    ) -> None:
        """Has signs of good standing remembered; one of the future is taken as of now."""
        if self.restraint is None:
            return
        goods = self._doubt.sure(events, met.__getitem__, now)
        try:
            self.restraint.heard(goods)
        except Unavailable:
            self._doubt.keep(goods)
            raise

    def _claim_all(self, work: _Work, now: float | None) -> None:
        """Claims for the overflows of `work`; those made are on disk when this ends or raises.

        When they cannot be, none of them is made, and the overflows are all there is to do.
        """
        overflows, hurry, claiming = work.overflows, work.hurry, self._claiming
        known = claiming.known(overflows)
        many = TOGETHER if hurry is not None else len(overflows)
        decided = Decided()
        done = 0
        try:
            while done < len(overflows):
                some = overflows[done : done + many]
                more = claiming.decide(some, known, now, again=work.again)
                done += len(some)
                decided.add(more)
                if hurry is not None and more.first:
                    hurry.begin(more.first)
            if hurry is not None:
                hurry.wait()
        finally:
            self._once.open = self._others_wait(work)
            when = known.last if now is None else now
            made = [*decided.before, *claiming.make(decided.wanted, when)]
            del overflows[:done]
            work.bans += made
            work.claims += made

    def marked(self, source: str) -> bytes | None:
        """The place in the last batch of `source` that was counted, where that is kept."""
        return self._once.mark(source)

    # By hand --------------------------------------------------------------------------------------

    def ban(self, network: Network, *, until: float | None, reason: str, now: float) -> Claim:
        """Claims `network` by hand; the caller has asked the protection."""
        return self._ledger.claim([Claim(network, MANUAL, reason, now, until)], now)[0]

    def unban(self, network: Network, *, now: float) -> list[Claim]:
        """Ends every claim on exactly `network`, and returns what ended.

        An address also stands for the network that it is counted under. What was counted against
        them is forgotten, so that one more rejection bans nobody.
        """
        targets = {network, self.key(network)}
        ended = [c for target in targets for c in self._ledger.withdraw(target, None, now)]
        self._forget({claim.network for claim in ended} | targets)
        return ended

    def unban_all(self, *, now: float) -> Iterator[Ended]:
        """Ends every claim with the first piece; what was counted is forgotten piece by piece."""
        if isinstance(self._ledger, Emptying):
            pieces = self._ledger.empty(now)
        else:
            pieces = _parted(self._ledger.withdraw(None, None, now))
        for piece in pieces:
            yield piece  # told first, while Redis is busy with the next one
            self._forget({claim.network for claim in piece.claims})

    def _forget(self, networks: set[Network]) -> None:
        self._counters.forget(*networks)
        self._put_off.forget(*networks)
        late = self._late
        late.overflows = [due for due in late.overflows if due.network not in networks]
        if self._crowd is not None:
            self._crowd.forget(networks)


def _parted(ended: Sequence[Claim]) -> Iterator[Ended]:
    last = {claim.network: index for index, claim in enumerate(ended)}
    for first in range(0, len(ended), MANY):
        some, end = ended[first : first + MANY], first + MANY
        later = frozenset(claim.network for claim in some if last[claim.network] >= end)
        yield Ended([*some], later)
