"""From what was heard to what is claimed: events -> jails -> counters -> ledger.

One object, used by the one thread that also owns counters and ledger. It decides nothing by
itself: a jail says what is counted and when that is enough, the counters say when it was, the
protection says whom nothing may block, the ledger keeps what comes of it. Addresses are canonical
text from structured fields; nothing that a peer wrote is looked at.

Time: each event has its own, and bans begin at the rejection that filled the window. In live
operation `now` bounds it: an event of the future is taken as of now, one that is older than a
jail's window is not counted, and a ban that would be over already is not made (fail2ban does the
same). Without `now` an old log is replayed as if it were happening.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import SystemRandom

from guard.events import (
    Claim,
    Event,
    Good,
    Kind,
    Offence,
    Overflow,
    Past,
    Rejection,
    Suspicion,
    Window,
)
from guard.jails.crowd import Crowd
from guard.jails.escalation import ban_length
from guard.jails.jail import Jail
from guard.jails.reasons import reason
from guard.jails.settings import JailsSettings
from guard.lib.networks import Network, read_address
from guard.lib.prefixes import Prefixes
from guard.protect.doubt import Doubt
from guard.protect.restraint import Restraint
from guard.roles import Carving, Counters, Ledger, Protection, Suspects, Unavailable

# Counted in one call: long enough to be cheap, short enough to leave the store to others.
SLICE = 5000
KNOWN = 50_000
MANUAL = "manual"
# The filters that read bans: fail2ban's own, and guard.conf in its first mode.
RECIDIVE = ("recidive", "guard", "guard[mode=ban]")

Routes = tuple[tuple[str, float], ...]
Due = tuple[Sequence[Offence], Mapping[str, Window]]


@dataclass(slots=True)
class Tally:
    """What became of events and overflows; for status and replay."""

    heard: int = 0
    counted: int = 0
    stale: int = 0
    already: int = 0
    ignored: int = 0
    protected: int = 0
    spared: int = 0
    late: int = 0
    claimed: int = 0


@dataclass(slots=True)
class _Work:
    """How far a batch has come, so that one that met a lost store is not counted twice."""

    events: Sequence[Event]
    at: int = 0
    due: list[Due] | None = None
    overflows: list[Overflow] = field(default_factory=list)
    bans: list[Claim] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)


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
        self._counters, self._ledger, self._protection = counters, ledger, protection
        self.restraint = restraint
        self._crowd = crowd
        self._suspects = suspects  # who lowers the bar for whom he knows as an offender
        widths = settings or JailsSettings(path=(), filters=())
        self._widths = {4: widths.ipv4_prefix, 6: widths.ipv6_prefix}
        self._chance = chance or SystemRandom().random
        self._jails = {jail.name: jail for jail in jails}
        self._windows = {name: jail.window for name, jail in self._jails.items()}
        self._ignored = {name: Prefixes(jail.ignoreip) for name, jail in self._jails.items()}
        running = self._jails.values()
        self._by_kind = {
            kind: _routes(jail for jail in running if kind in jail.kinds) for kind in Kind
        }
        self._by_filter = {
            name: _routes(jail for jail in running if jail.filter == name)
            for name in {jail.filter for jail in running}
        }
        self._on_bans = [route for name in RECIDIVE for route in self._by_filter.pop(name, ())]
        self._known: dict[str, Network] = {}
        self._doubt = Doubt()
        self._work: _Work | None = None

    def _address(self, text: str) -> Network | None:
        """The key of the address `text`; None when it is none."""
        known = self._known
        return known[text] if text in known else self._masked(text)

    def _masked(self, text: str) -> Network | None:
        """The same for one that is not known, or no longer."""
        try:
            network = read_address(text)
        except ValueError:
            return None
        if self.restraint is not None:
            self.restraint.noticed(network)
        if len(self._known) >= KNOWN:
            self._known.clear()
        masked = self._known[text] = self.key(network)
        return masked

    def key(self, network: Network) -> Network:
        """The network that `network` is counted under: /32 and /64 unless configured otherwise."""
        return network.supernet(self._widths[network.version])

    def hear(self, events: Sequence[Event], now: float | None) -> list[Claim]:
        """Counts `events`, in order, and returns the claims that came of them; None replays.

        Raises Unavailable when the store is gone. Called again with the very same `events` it goes
        on where it was: nothing is counted twice.
        """
        work = self._work
        if work is None or work.events is not events:
            work = self._work = _Work(events)
        while work.at < len(events):
            if work.due is None:
                self._hear_good(events[work.at : work.at + SLICE], now)
                work.due = self._due(self._offences(events[work.at : work.at + SLICE], now))
            while work.due:
                offences, windows = work.due[0]
                work.overflows += self._counters.count(offences, windows)
                self.tally.counted += len(offences)
                del work.due[0]
            while work.overflows or work.bans:
                self._settle(work, now)
            work.due = None
            work.at += SLICE
        self._work = None
        self.tally.heard += len(events)
        return work.claims

    def catch_up(self, now: float) -> list[Claim]:
        """Claims for windows that filled while nobody was told: in a store that was away."""
        work = _Work((), overflows=self._counters.count((), self._windows))
        while work.overflows or work.bans:
            self._settle(work, now)
        return work.claims

    def _due(self, offences: list[Offence]) -> list[Due]:
        """What is counted at once: everybody by the jails' windows, but for the suspects."""
        if not self._suspects:
            return [(offences, self._windows)] if offences else []
        rest: list[Offence] = []
        lowered: dict[int, list[Offence]] = {}
        for offence in offences:
            found = self._suspicion(offence)
            (rest if found is None else lowered.setdefault(found.maxretry, [])).append(offence)
        due: list[Due] = [(rest, self._windows)] if rest else []
        for maxretry, some in lowered.items():
            windows = {o.jail: self._windows[o.jail]._replace(maxretry=maxretry) for o in some}
            due.append((some, windows))
        return due

    def _suspicion(self, offence: Offence) -> Suspicion | None:
        """What lowers the bar most for this offence."""
        best, bar = None, self._windows[offence.jail].maxretry
        for suspects in self._suspects:
            found = suspects.suspicion(offence, bar)
            if found is not None and found.maxretry < bar:
                best, bar = found, found.maxretry
        return best

    def _settle(self, work: _Work, now: float | None) -> None:
        """Makes claims of the overflows, and lets the claims count where bans count."""
        if work.overflows:
            made = self._claim(work.overflows, now)
            work.overflows = []
            work.bans += made
            work.claims += made
        if work.bans:
            blocks = self._crowd.joined(work.bans) if self._crowd is not None else []
            work.overflows = self._count_bans(work.bans)
            work.bans = []
            work.claims += blocks

    def _count_bans(self, bans: Sequence[Claim]) -> list[Overflow]:
        """What jails that read bans count: those of other jails."""
        offences = [
            Offence(jail, ban.network, ban.since)
            for ban in bans
            for jail, _ in self._on_bans
            if ban.source != f"jail:{jail}"
        ]
        return self._counters.count(offences, self._windows) if offences else []

    def _hear_good(self, events: Sequence[Event], now: float | None) -> None:
        """Has signs of good standing remembered; one of the future is taken as of now."""
        if self.restraint is None:
            return
        goods = self._doubt.sure(events, self._address, now)
        try:
            self.restraint.heard(goods)
        except Unavailable:
            self._doubt.keep(goods)
            raise

    def _offences(self, events: Sequence[Event], now: float | None) -> list[Offence]:
        """What each jail counts of `events`."""
        found: list[Offence] = []
        by_kind, by_filter, known = self._by_kind, self._by_filter, self._known
        append, new = found.append, tuple.__new__  # half the cost of a named tuple's own
        for event in events:
            if not isinstance(event, Rejection):
                continue
            kind = event.kind
            routes = by_kind[kind] if kind is not None else by_filter.get(event.filter, ())
            if not routes:
                continue
            address = event.address
            network = known[address] if address in known else self._masked(address)
            if network is None:
                continue
            time, rejections = event.time, event.count
            if now is not None and not time <= now:
                time = now
            for jail, findtime in routes:
                if now is None or time > now - findtime:
                    append(new(Offence, (jail, network, time, rejections)))
                else:
                    self.tally.stale += 1
        return found

    def _claim(self, overflows: Sequence[Overflow], now: float | None) -> list[Claim]:
        """Claims for those overflows that mean one."""
        networks = list(dict.fromkeys(overflow.network for overflow in overflows))
        first = min(overflow.time for overflow in overflows)
        last = max(overflow.time for overflow in overflows)
        pasts = dict(zip(networks, self._ledger.past(networks, first), strict=True))
        goods = self.restraint.goods(networks, last) if self.restraint is not None else {}
        wanted: list[Claim] = []
        for overflow in overflows:
            past = pasts[overflow.network]
            claim = self._judge(overflow, past, goods.get(overflow.network), now)
            if claim is not None:
                wanted.append(claim)
                strikes = {**past.strikes, claim.source: past.strikes.get(claim.source, 0) + 1}
                pasts[overflow.network] = Past((*past.claims, claim), strikes)
        if not wanted:
            return []
        made = self._ledger.claim(wanted, last if now is None else now)
        # Where another host was faster its claim stands, and is not ours to tell of.
        new = [m for m, asked in zip(made, wanted, strict=True) if m.since == asked.since]
        self.tally.already += len(wanted) - len(new)
        self.tally.claimed += len(new)
        return new

    def _judge(
        self, overflow: Overflow, past: Past, good: Good | None, now: float | None
    ) -> Claim | None:
        """The claim that an overflow makes, unless something speaks against it."""
        jail, source = self._jails[overflow.jail], f"jail:{overflow.jail}"
        if any(c.source == source and _holds(c, overflow.time) for c in past.claims):
            self.tally.already += 1
        elif self._ignored[overflow.jail].overlaps(overflow.network):
            self.tally.ignored += 1
        elif self._protected(overflow.network):
            self.tally.protected += 1
        elif self._spared(overflow, jail, good):
            self.tally.spared += 1
        else:
            until = self._until(jail, overflow, past)
            if until is None or now is None or until > now:
                why = self._reason(overflow, jail)
                return Claim(overflow.network, source, why, overflow.time, until)
            self.tally.late += 1
        return None

    def _reason(self, overflow: Overflow, jail: Jail) -> str:
        suspicion = None
        if overflow.rejections < jail.window.maxretry:
            suspicion = self._suspicion(Offence(jail.name, overflow.network, overflow.time))
        what = "ban" if jail.filter in RECIDIVE else "rejection"
        return reason(overflow, jail.window, suspicion, what=what)

    def _protected(self, network: Network) -> bool:
        """Whether no part of `network` may be blocked; the mirror carves where some may."""
        if self._protection.protects(network) is None:
            return False
        if network.is_address or not isinstance(self._protection, Carving):
            return True
        return not self._protection.carve(network)

    def _spared(self, overflow: Overflow, jail: Jail, good: Good | None) -> bool:
        if self.restraint is None:
            return False
        why = self.restraint.spares(
            overflow, good, window=jail.window, weak=jail.weak, ignoreself=jail.ignoreself
        )
        return why is not None

    def _until(self, jail: Jail, overflow: Overflow, past: Past) -> float | None:
        if jail.escalation is None or jail.escalation.overalljails:
            strikes = sum(past.strikes.values())
        else:
            strikes = past.strikes.get(f"jail:{jail.name}", 0)
        length = ban_length(jail.bantime, jail.escalation, strikes, self._chance())
        return None if length is None else overflow.time + length

    # By hand --------------------------------------------------------------------------------------

    def ban(self, network: Network, *, until: float | None, reason: str, now: float) -> Claim:
        """Claims `network` by hand; the caller has asked the protection."""
        return self._ledger.claim([Claim(network, MANUAL, reason, now, until)], now)[0]

    def unban(self, network: Network | None, *, now: float) -> list[Claim]:
        """Ends every claim on exactly `network`, or on all (None), and returns what ended.

        An address also stands for the network that it is counted under. What was counted against
        them is forgotten, so that one more rejection bans nobody.
        """
        targets = [None] if network is None else list({network, self.key(network)})
        ended = [c for target in targets for c in self._ledger.withdraw(target, None, now)]
        for forgotten in {claim.network for claim in ended} | {t for t in targets if t}:
            self._counters.forget(forgotten)
        return ended


def _routes(jails: Iterable[Jail]) -> Routes:
    return tuple((jail.name, jail.window.findtime) for jail in jails)


def _holds(claim: Claim, time: float) -> bool:
    return claim.until is None or claim.until > time
