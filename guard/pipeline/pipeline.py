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

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import SystemRandom
from typing import NamedTuple

from guard.events import (
    Claim,
    Ended,
    Event,
    Good,
    Kind,
    Mark,
    Offence,
    Overflow,
    Part,
    Past,
    Rejection,
)
from guard.jails.bars import Bars
from guard.jails.crowd import Crowd
from guard.jails.jail import RECIDIVE, Jail
from guard.jails.once import Once
from guard.jails.routes import Route, route_of, windows_of
from guard.jails.settings import JailsSettings
from guard.lib.networks import Network, read_addresses
from guard.pipeline.judge import Judge, Tally
from guard.pipeline.putoff import PutOff
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


Hurry = Callable[[Sequence[Claim]], None]


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


class _Known(NamedTuple):
    """What is known of the networks of some overflows, the last of which was at `last`.

    `repeats` is whether one network has several.
    """

    pasts: dict[Network, Past]
    goods: Mapping[Network, Good]
    last: float
    repeats: bool


@dataclass(slots=True)
class _Decided:
    """What is wanted, what of it is the first claim on its network, and what was made before."""

    wanted: list[Claim] = field(default_factory=list)
    first: list[Claim] = field(default_factory=list)
    before: dict[Claim, None] = field(default_factory=dict)

    def add(self, other: _Decided) -> None:
        """Takes up what was decided next; `first` has been told."""
        self.wanted += other.wanted
        self.before |= other.before


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
        widths = settings or JailsSettings(path=(), filters=())
        self._widths = {4: widths.ipv4_prefix, 6: widths.ipv6_prefix}
        self._jails = {jail.name: jail for jail in jails}
        running = self._jails.values()
        by_filter = {
            name: route_of(jail for jail in running if jail.filter == name)
            for name in {jail.filter for jail in running}
        }
        self._on_bans = [
            jail for name in RECIDIVE if name in by_filter for jail, _ in by_filter.pop(name).jails
        ]
        self._by_filter = by_filter
        by_kind = {kind: route_of(jail for jail in running if kind in jail.kinds) for kind in Kind}
        self._by_kind = {kind: route for kind, route in by_kind.items() if route.jails}
        self._windows = windows_of(running, [*by_filter.values(), *by_kind.values()])
        self._bars = Bars(suspects, self._windows)
        chosen = chance or SystemRandom().random
        self._judge = Judge(running, protection, restraint, self._bars, chosen, self.tally).judge
        self._met: dict[str, Network | None] = {}
        self._doubt = Doubt()
        self._work: _Work | None = None
        self._once = Once(counters)
        self._put_off = PutOff(restraint)
        self._left: _Work | None = _Work(())
        self._late = _Work(())  # what nobody heard of in time

    def _meet(self, events: Sequence[Event]) -> None:
        """Reads the addresses of `events`, each once: there is nothing to remember of them."""
        read = read_addresses({event.address for event in events})
        if self.restraint is not None:
            self.restraint.meet(read.values())
        # Most are IPv4, and counted as they are.
        masked = [text for text in read if ":" in text] if self._widths[4] == 32 else list(read)
        for text in masked:
            network = read[text]
            read[text] = network and self.key(network)
        self._met = read

    def key(self, network: Network) -> Network:
        """The network that `network` is counted under: /32 and /64 unless configured otherwise."""
        return network.supernet(self._widths[network.version])

    def hear(
        self,
        events: Sequence[Event],
        now: float | None,
        mark: Mark | None = None,
        hurry: Hurry | None = None,
    ) -> list[Claim]:
        """Counts `events`, in order, and returns the claims that came of them; None replays.

        Of many claims `hurry` is told some while others are not decided yet, and the ledger knows
        none, for whoever tells the kernel: those on networks that nobody claims. At last it is
        told nothing, to wait until the kernel has them all. It must not raise.

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
                self._meet(some)
                self._hear_good(some, now)
                offences = self._offences(some, now)
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
        late.overflows += self._once.late(self._windows)
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
        offences = [
            Offence(jail, ban.network, ban.since)
            for ban in bans
            for jail in self._on_bans
            if ban.source != f"jail:{jail}"
        ]
        if again:
            held = {network: self._counters.counted(network) for _, network, *_ in offences}
            offences = [offence for offence in offences if offence not in held[offence.network]]
        return self._once.count_on(offences, self._windows)

    def _hear_good(self, events: Sequence[Event], now: float | None) -> None:
        """Has signs of good standing remembered; one of the future is taken as of now."""
        if self.restraint is None:
            return
        goods = self._doubt.sure(events, self._met.__getitem__, now)
        try:
            self.restraint.heard(goods)
        except Unavailable:
            self._doubt.keep(goods)
            raise

    def _offences(self, events: Sequence[Event], now: float | None) -> list[Offence]:
        """What each jail counts of `events`."""
        found: list[Offence] = []
        by_kind, by_filter, met = self._by_kind, self._by_filter, self._met
        append, new = found.append, tuple.__new__  # half the cost of a named tuple's own
        for event in events:
            if not isinstance(event, Rejection):
                continue
            kind = event.kind
            route = by_kind.get(kind) if kind is not None else by_filter.get(event.filter)
            if route is None:
                continue
            network = met[event.address]
            if network is None:
                continue
            time = event.time
            if now is not None and not time > now - route.shortest:
                found += self._fresh(event, network, route, now)
                continue
            if now is not None and not time <= now:
                time = now
            append(new(Offence, (route.name, network, time, event.count)))
        return found

    def _fresh(
        self, event: Rejection, network: Network, route: Route, now: float
    ) -> Iterator[Offence]:
        """One for each jail whose window reaches back to `event`; one of no time is of now."""
        time = event.time
        if not time <= now:
            time = now
        for jail, findtime in route.jails:
            if time > now - findtime:
                yield Offence(jail, network, time, event.count)
            else:
                self.tally.stale += 1

    def _claim_all(self, work: _Work, now: float | None) -> None:
        """Claims for the overflows of `work`; those made are on disk when this ends or raises.

        When they cannot be, none of them is made, and the overflows are all there is to do.
        """
        overflows, hurry = work.overflows, work.hurry
        known = self._known(overflows)
        many = TOGETHER if hurry is not None else len(overflows)
        decided = _Decided()
        done = 0
        try:
            while done < len(overflows):
                some = overflows[done : done + many]
                more = self._decide(some, known, now, again=work.again)
                done += len(some)
                decided.add(more)
                if hurry is not None and more.first:
                    hurry(more.first)
            if hurry is not None:
                hurry(())
        finally:
            self._once.open = self._others_wait(work)
            when = known.last if now is None else now
            made = [*decided.before, *self._make(decided.wanted, when)]
            del overflows[:done]
            work.bans += made
            work.claims += made

    def _known(self, overflows: Sequence[Overflow]) -> _Known:
        """What ledger and standing say of all who may be claimed, asked once."""
        networks = list(dict.fromkeys([overflow.network for overflow in overflows]))
        times = [overflow.time for overflow in overflows]
        first, last = min(times), max(times)
        pasts = dict(zip(networks, self._ledger.past(networks, first), strict=True))
        goods: Mapping[Network, Good] = {}
        if self.restraint is not None:
            self.restraint.meet(networks)
            goods = self.restraint.goods(networks, last)
        return _Known(pasts, goods, last, len(networks) < len(overflows))

    def _decide(
        self, overflows: Sequence[Overflow], known: _Known, now: float | None, *, again: bool
    ) -> _Decided:
        """The claims that those overflows mean; of a batch `again` those made as well."""
        decided, judge = _Decided(), self._judge
        pasts, goods = known.pasts, known.goods
        for overflow in overflows:
            network = overflow.network
            past = pasts[network]
            if again and (before := _claimed(overflow, past)) is not None:
                decided.before[before] = None
                continue
            good = goods.get(network) if goods else None
            due = judge(overflow, past, good, now)
            if due is None:
                self._put_off.spared(overflow, good)
                continue
            decided.wanted.append(due)
            if not past.claims:
                decided.first.append(due)
            if known.repeats:  # the next one may be of the same network
                strikes = {**past.strikes, due.source: past.strikes.get(due.source, 0) + 1}
                pasts[network] = Past((*past.claims, due), strikes)
        return decided

    def _make(self, wanted: Sequence[Claim], now: float) -> list[Claim]:
        """Has the ledger claim what was decided; what came of it that nobody claimed before."""
        if not wanted:
            return []
        made = self._ledger.claim(wanted, now)
        # Where another host was faster its claim stands, and is not ours to tell of.
        new = [m for m, asked in zip(made, wanted, strict=True) if m.since == asked.since]
        self.tally.already += len(wanted) - len(new)
        self.tally.claimed += len(new)
        return new

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


def _claimed(overflow: Overflow, past: Past) -> Claim | None:
    """The claim that this very overflow led to."""
    source = f"jail:{overflow.jail}"
    found = (c for c in past.claims if c.source == source and c.since == overflow.time)
    return next(found, None)
