"""The ledger as rows that JSON can carry: out of one Guard, into another, from a plain list.

A row is a claim as `guard bans --json` prints it, or strikes: `{"network", "strikes": {source:
number}, "ended"}`. Rows come from a file, so that each is read strictly, and one that is wrong is
named and hides nothing else. Taking the same rows twice changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec

from guard.events import Claim, Remembered
from guard.lib.networks import Network, parse_network
from guard.protect.carve import blockable
from guard.roles import Ledger, Protection, Refused, Remembering

LONGEST_REASON = 200
_Source = Annotated[str, msgspec.Meta(pattern=r"^(manual|(jail|feed):[A-Za-z0-9_.-]{1,64})$")]
_Number = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
_Time = Annotated[float, msgspec.Meta(ge=0, lt=253_402_300_800)]


class ClaimRow(msgspec.Struct, frozen=True):
    """A claim as it is exported."""

    network: str
    source: _Source
    since: _Time
    until: _Time | None
    reason: str = ""
    strikes: _Number = 0


class StrikesRow(msgspec.Struct, frozen=True):
    """Strikes as they are exported; `ended` None is a ban for ever."""

    network: str
    strikes: dict[_Source, _Number]
    ended: _Time | None


@dataclass
class Taken:
    """What became of rows. `faults` names the first wrong ones."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def fault(self, row: object, why: str) -> None:
        """Notes a row that cannot be read."""
        self.counts["wrong"] += 1
        if len(self.faults) < 10:
            name = row.get("network") if isinstance(row, Mapping) else None
            self.faults.append(f"{str(name or row)[:80]}: {why}")


def claim_row(claim: Claim) -> dict[str, Any]:
    """A claim as `guard bans --json` prints it."""
    return {
        "network": str(claim.network),
        "source": claim.source,
        "reason": claim.reason,
        "since": claim.since,
        "until": claim.until,
        "strikes": claim.strikes,
    }


def rows_of(ledger: Ledger, now: float) -> Iterator[dict[str, Any]]:
    """Everything in `ledger`: claims, oldest first, then strikes."""
    for claim in ledger.claims(now):
        yield claim_row(claim)
    if isinstance(ledger, Remembering):
        for row in ledger.remembered():
            yield {
                "network": str(row.network),
                "strikes": dict(row.strikes),
                "ended": row.ended,
            }


def read_claim(row: Mapping[str, Any]) -> Claim:
    """The claim that a row says. Raises ValueError."""
    said = msgspec.convert(dict(row), ClaimRow)
    network, reason = parse_network(said.network), said.reason[:LONGEST_REASON]
    return Claim(network, said.source, reason, said.since, said.until, said.strikes)


def read_strikes(row: Mapping[str, Any]) -> Remembered:
    """The strikes that a row says. Raises ValueError."""
    said = msgspec.convert(dict(row), StrikesRow)
    return Remembered(parse_network(said.network), said.strikes, said.ended)


def take(
    rows: Iterable[Mapping[str, Any]],
    ledger: Ledger,
    protection: Protection,
    now: float,
    key: Callable[[Network], Network],
) -> Taken:
    """Puts `rows` into `ledger`: live claims, unless somebody is protected from them, and strikes.

    Strikes of an address are also those of its `key`, the network that jails count it under.
    All rows of a network are to come together. Raises Unavailable, after which the same rows may
    be given again.
    """
    if not isinstance(ledger, Remembering):
        raise Refused("this ledger cannot take strikes")
    taken = Taken()
    claims: list[Claim] = []
    strikes: dict[Network, Remembered] = {}
    for row in rows:
        try:
            if isinstance(row.get("strikes"), dict):
                read = read_strikes(row)
                strikes[read.network] = read
            else:
                claims.append(read_claim(row))
        except (ValueError, AttributeError, TypeError) as error:
            taken.fault(row, str(error))
    wanted = list(_wanted(claims, protection, now, taken))
    ledger.remember(list(strikes.values()))
    wider = ((key(row.network), row) for row in strikes.values())
    ledger.remember([row._replace(network=net) for net, row in wider if net != row.network])
    unsaid = [claim for claim in wanted if claim.network not in strikes]
    ledger.remember(list(_implied(unsaid, ledger, now)))
    ledger.restore(list(_counted(wanted, ledger, now)), now)
    taken.counts["claims"] += len(wanted)
    taken.counts["strikes"] += len(strikes)
    return taken


def _wanted(
    claims: Sequence[Claim], protection: Protection, now: float, taken: Taken
) -> Iterator[Claim]:
    for claim in claims:
        if claim.until is not None and claim.until <= now:
            taken.counts["ended"] += 1
        elif blockable(claim.network, protection):
            yield claim
        else:
            taken.counts["protected"] += 1


def _implied(claims: Sequence[Claim], ledger: Ledger, now: float) -> Iterator[Remembered]:
    """The strikes that claims of jails stand for where nothing else tells of them."""
    held: dict[Network, list[Claim]] = {}
    for claim in claims:
        if claim.source.startswith("jail:"):
            held.setdefault(claim.network, []).append(claim)
    for (network, made), past in zip(held.items(), ledger.past(list(held), now), strict=True):
        known = dict(past.strikes)
        said = {claim.source: max(1, known.get(claim.source, 0)) for claim in made}
        last = max(made, key=lambda claim: claim.strikes)
        said[last.source] += max(0, last.strikes - sum({**known, **said}.values()))
        ends = [claim.until for claim in made if claim.until is not None]
        yield Remembered(network, said, max(ends) if len(ends) == len(made) else None)


def _counted(claims: Sequence[Claim], ledger: Ledger, now: float) -> Iterator[Claim]:
    """`claims`, those of jails with their number of strikes, as a ledger that made them has it."""
    pasts = ledger.past([claim.network for claim in claims], now)
    for claim, past in zip(claims, pasts, strict=True):
        strikes = claim.strikes or sum(past.strikes.values())
        jails = claim.source.startswith("jail:")
        yield msgspec.structs.replace(claim, strikes=strikes) if jails else claim
