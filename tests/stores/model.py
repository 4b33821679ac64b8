"""Counters, jails and ledger as anybody would write them who had no time to make them fast."""

from dataclasses import dataclass, field

from msgspec.structs import replace

from guard.events import Claim, Overflow


def end_of(claim):
    return float("inf") if claim.until is None else claim.until


@dataclass
class Model:
    """The truth that stores are compared with. `memory` is how long strikes are kept."""

    memory: float = 90 * 86400.0
    held: dict = field(default_factory=dict)  # (jail, network) -> times
    ledger: dict = field(default_factory=dict)  # (source, network) -> claim
    strikes: dict = field(default_factory=dict)  # network -> {source: number}
    ended: dict = field(default_factory=dict)  # network -> end of the last ban

    def count(self, offences, windows):
        overflows = []
        for jail, network, time, rejections in offences:
            maxretry, findtime = windows[jail][:2]
            times = self.held.get((jail, network), [])
            newest = max([*times, time])
            if time <= newest - findtime:
                continue
            times = sorted(t for t in [*times, *[time] * rejections] if t > newest - findtime)
            if len(times) >= maxretry:
                overflows.append(Overflow(jail, network, time, len(times)))
                times = []
            self.held[jail, network] = times
        return overflows

    def forget(self, network):
        self.held = {key: times for key, times in self.held.items() if key[1] != network}

    def counted(self, network, windows, now):
        return sorted(
            (jail, time)
            for (jail, other), times in self.held.items()
            for time in times
            if other == network and time > now - windows[jail].findtime
        )

    def claim(self, claim, now):
        old = self.ledger.get((claim.source, claim.network))
        if claim.source.startswith("jail:"):
            if old is not None and alive(old, now):
                claim = replace(claim, since=old.since, strikes=old.strikes)
                last, ends = self.ended.get(claim.network, float("-inf")), end_of(claim)
                if last + self.memory > now and (ends > last or last <= end_of(old)):
                    self.ended[claim.network] = ends  # that of this ban, or later than all
            else:
                known = self.known_strikes(claim.network, now)
                known[claim.source] = known.get(claim.source, 0) + 1
                self.strikes[claim.network] = known
                self.ended[claim.network] = max(end_of(claim), self.ended.get(claim.network, 0.0))
                claim = replace(claim, strikes=sum(known.values()))
        self.ledger[claim.source, claim.network] = claim
        return claim

    def withdraw(self, network, source, now):
        ended = []
        for (name, other), claim in list(self.ledger.items()):
            if network in (None, other) and source in (None, name):
                del self.ledger[name, other]
                if name.startswith("jail:") and self.ended.get(other, 0.0) > now:
                    self.ended[other] = now
                ended += [claim] if alive(claim, now) else []
        return ended

    def replace(self, source, claims, now):
        wanted = {claim.network: claim for claim in claims}
        for name, network in list(self.ledger):
            if name == source and network not in wanted:
                del self.ledger[name, network]
        for claim in wanted.values():
            old = self.ledger.get((source, claim.network))
            if old is None or (old.until, old.reason) != (claim.until, claim.reason):
                self.ledger[source, claim.network] = claim

    def claims(self, now):
        return {claim for claim in self.ledger.values() if alive(claim, now)}

    def known_strikes(self, network, now):
        if self.ended.get(network, float("-inf")) + self.memory <= now:
            return {}
        return dict(self.strikes.get(network, {}))

    def hear(self, network, time, jails, spared):
        """One rejection through the pipeline: `jails` are of the real kind."""
        made = []
        for jail in jails:
            windows = {jail.name: jail.window}
            for overflow in self.count([(jail.name, network, time, 1)], windows):
                source = f"jail:{jail.name}"
                held = self.ledger.get((source, network))
                if spared(network) or (held is not None and alive(held, time)):
                    continue
                strikes = self.known_strikes(network, time).get(source, 0)
                until = time + jail.bantime * 2 ** min(strikes, 20)
                number = overflow.rejections
                reason = f"{number} rejection{'s' if number != 1 else ''} within 10m"
                made.append(self.claim(Claim(network, source, reason, time, until), time))
        return made


def alive(claim, now):
    return claim.until is None or claim.until > now
