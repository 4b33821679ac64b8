"""Keeps a firewall equal to the ledger: nothing else ever tells a firewall anything.

A network is blocked while the ledger has a live claim on it and nobody protects it, until the last
of its claims ends; where only part of it is protected the rest may be, and the protection says how.
`step` follows the ledger's changes; `reconcile` reads what the firewall really holds, repairs the
difference and says what it was. A mirror whose firewall failed lays everything anew at the next
step; it does not retry by itself.

Trusts the ledger. Does not run by itself: somebody calls `step` and `reconcile` with the time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol, runtime_checkable

from guard.events import Block, Claim, Past
from guard.firewall.abilities import Capped, Checked, Counting, Untimed, Watched
from guard.firewall.intervals import SLACK, later, outlasts
from guard.lib.bulk import bulk
from guard.lib.networks import Network
from guard.roles import Carving, Firewall, GuardError, Protection, Unavailable

_log = logging.getLogger(__name__)
Ends = Mapping[Network, float | None]
# From here on laying everything anew is faster than reading it: the kernel lists a hash set of
# nftables in quadratic time (0.5 s for 100,000, 46 s for a million, which are laid in 3.5 s).
READABLE = 200_000
# More changes at once than this are laid as a whole: a pause, or a wide entry in `allow`.
MANY = 10_000
_LASTING = 2


@runtime_checkable
class Versioned(Protocol):
    """A Protection that can say whether it changed."""

    version: int


class Followed(Protocol):
    """What a mirror asks of a ledger."""

    def claims(self, now: float) -> list[Claim]:
        """The role's."""
        ...

    def past(self, networks: Sequence[Network], now: float) -> list[Past]:
        """The role's."""
        ...

    def changes(self, cursor: str) -> tuple[str, set[Network] | None]:
        """The role's."""
        ...


class Difference(NamedTuple):
    """What makes the present into what is wanted."""

    missing: list[Block]
    foreign: list[Network]


class Report(NamedTuple):
    """What a reconcile found before it repaired: networks expected, present, missing, foreign.

    `missing` counts those with a wrong end too. `faults` says what was wrong with tables, chains
    and rules, `warnings` what is not Guard's to repair.
    """

    expected: int
    present: int
    missing: int
    foreign: int
    faults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether the firewall was as the ledger says."""
        return not (self.missing or self.foreign or self.faults)


def ends(claims: Iterable[Claim]) -> dict[Network, float | None]:
    """Each network with the end of its last claim."""
    found: dict[Network, float | None] = {}
    for claim in claims:
        until = claim.until
        if claim.network in found:
            until = later(found[claim.network], until)
        found[claim.network] = until
    return found


def difference(
    wanted: Ends,
    present: Ends,
    now: float,
    longest: float | None = None,
    slack: float = SLACK,
) -> Difference:
    """What to block and to release so that `present` becomes `wanted`.

    Ends that differ by less than `slack` are equal; what is about to end need be neither laid nor
    released.
    `longest` is how far a back end counts: a later end is due again at half of it.
    """
    missing = []
    for network, until in wanted.items():
        if until is not None and until <= now + slack:
            continue
        if network not in present or _wrong(until, present[network], now, longest, slack):
            missing.append(Block(network, until))
    foreign = [
        network
        for network, end in present.items()
        if network not in wanted and (end is None or end > now + slack)
    ]
    return Difference(missing, foreign)


def _wrong(
    until: float | None, end: float | None, now: float, longest: float | None, slack: float
) -> bool:
    if longest is not None and until is not None and until > now + longest:
        return end is None or end < now + longest / 2
    return outlasts(until, end, slack) or outlasts(end, until, slack)


def _flat(carved: Mapping[Network, Iterable[Network]]) -> set[Network]:
    return {piece for pieces in carved.values() for piece in pieces}


class Mirror:
    """One firewall that follows one ledger. Not for two threads at once."""

    def __init__(self, ledger: Followed, firewall: Firewall, protection: Protection) -> None:
        self._ledger, self._firewall, self._protection = ledger, firewall, protection
        self._cursor = ""
        self._vetoed: set[Network] = set()
        self._carved: dict[Network, list[Network]] = {}
        self._protection_seen = self._protection_version()
        # Whether the firewall may hold anything else than was laid.
        self._broken = self._suspect = True
        self._dirty_in_a_row = 0
        self._latest = 0.0
        self._warned: set[str] = set()
        self.report: Report | None = None

    @property
    def spared(self) -> int:
        """How many claimed networks are not blocked, or not in full, for somebody is protected."""
        return len(self._vetoed)

    @property
    def alarm(self) -> str:
        """What is lastingly wrong with the firewall, in a line for `guard status`; else empty."""
        if self.report is None or self._dirty_in_a_row < _LASTING:
            return ""
        found = self.report
        counts = f"{found.missing} missing and {found.foreign} foreign of {found.expected}"
        return "; ".join([f"the firewall keeps differing from the ledger: {counts}", *found.faults])

    def dropped(self) -> dict[str, int]:
        """Packets dropped so far by each set, where the firewall counts and answers."""
        try:
            if isinstance(self._firewall, Counting):
                return {name: packets for name, (packets, _) in self._firewall.dropped().items()}
        except GuardError as error:
            _log.debug("cannot read the firewall's counters: %s", error)
        return {}

    def start(self, now: float) -> None:
        """Opens the firewall and lays all that the ledger claims, in one go."""
        began = time.monotonic()
        # The cursor first: what changes meanwhile is applied twice rather than lost.
        cursor, _ = self._ledger.changes("")
        with bulk(), self._guarded():
            wanted = self._wanted(now)
            self._firewall.open()
            self._firewall.replace((Block(net, until) for net, until in wanted.items()), now)
        self._cursor, self._broken, self._suspect = cursor, False, False
        self._latest = max(self._latest, time.monotonic() - began)

    def step(self, now: float) -> None:
        """Applies what changed in the ledger since the last call, and what has ended."""
        if self._broken or self._removed():
            self.start(now)
            return
        if isinstance(self._firewall, Untimed):
            with self._guarded():
                self._firewall.expire(now)
        cursor, touched = self._ledger.changes(self._cursor)
        if touched is None:
            self.start(now)
            return
        if self._protection_changed():
            touched = touched | self._reviewed(now)
            if len(touched) > MANY:
                self.start(now)
                return
        if touched:
            block, release = self._decide(touched, now)
            with self._guarded():
                self._firewall.apply(block, release, now)
        self._cursor = cursor

    def reconcile(self, now: float) -> Report:
        """Compares firewall and ledger, repairs, and returns what was found before the repair."""
        began = time.monotonic()
        self.step(now)
        with bulk():
            wanted = self._wanted(now)
            try:
                with self._guarded():
                    self.report = self._compared(wanted, now, began)
            except Unavailable as error:
                self.start(now)
                self.report = Report(len(wanted), 0, len(wanted), 0, (str(error),))
        self._note(self.report)
        return self.report

    def _compared(self, wanted: Ends, now: float, began: float) -> Report:
        firewall = self._firewall
        warnings: tuple[str, ...] = ()
        faults: tuple[str, ...] = ()
        if isinstance(firewall, Checked):
            faults, warnings = tuple(firewall.faults()), tuple(firewall.warnings())
            if faults:
                firewall.open()
                self._suspect = True
        count = len(wanted)
        if isinstance(firewall, Watched):
            self._suspect |= firewall.disturbed()
            if not self._suspect:
                # Nobody but the kernel's clock was there since all this was laid or read.
                return Report(count, count, 0, 0, faults, warnings)
            if count > READABLE:
                firewall.replace((Block(net, until) for net, until in wanted.items()), now)
                self._suspect = False
                return Report(count, count, 0, 0, faults, warnings)
        present = firewall.blocked(now)
        # Ends are told from `now`, but the kernel counts from when it was told or asked.
        slack = SLACK + self._latest + time.monotonic() - began
        longest = firewall.longest if isinstance(firewall, Capped) else None
        missing, foreign = difference(wanted, present, now, longest, slack)
        if missing or foreign:
            firewall.apply(missing, foreign, now)
        self._suspect = False
        return Report(count, len(present), len(missing), len(foreign), faults, warnings)

    def _note(self, report: Report) -> None:
        self._dirty_in_a_row = 0 if report.clean else self._dirty_in_a_row + 1
        for fault in report.faults:
            _log.warning("firewall repaired: %s", fault)
        for warning in set(report.warnings) - self._warned:
            _log.warning("firewall: %s", warning)
        self._warned = set(report.warnings)
        if report.missing or report.foreign:
            _log.warning(
                "firewall repaired: %d of %d networks were missing, %d were not ours",
                *(report.missing, report.expected, report.foreign),
            )

    def _removed(self) -> bool:
        """Whether somebody took away what is not merely an element."""
        firewall = self._firewall
        if not isinstance(firewall, Watched):
            return False
        with self._guarded():
            if not firewall.disturbed():
                return False
            self._suspect = True
            faults = firewall.faults() if isinstance(firewall, Checked) else []
        for fault in faults:
            _log.warning("firewall: %s; laying everything anew", fault)
        return bool(faults)

    def _wanted(self, now: float) -> dict[Network, float | None]:
        """All that is to be blocked; notes what protection keeps out."""
        found = ends(self._ledger.claims(now))
        self._protection_seen = self._protection_version()
        self._vetoed = {net for net in found if self._protection.protects(net) is not None}
        self._carved = self._pieces(self._vetoed)
        kept = {net: until for net, until in found.items() if net not in self._vetoed}
        for network, pieces in self._carved.items():
            for piece in pieces:
                end = found[network]
                kept[piece] = later(kept[piece], end) if piece in kept else end
        return kept

    def _pieces(self, vetoed: Iterable[Network]) -> dict[Network, list[Network]]:
        """What may be blocked of each network that is protected in part."""
        if not isinstance(self._protection, Carving):
            return {}
        found = {net: self._protection.carve(net) for net in vetoed if not net.is_address}
        return {net: pieces for net, pieces in found.items() if pieces}

    def _decide(self, touched: Iterable[Network], now: float) -> tuple[list[Block], list[Network]]:
        """What the ledger says now of networks that it said something else of before."""
        block, release = [], []
        asked = list(touched)
        pasts = self._ledger.past(asked, now)
        pieces = _flat(self._carved)
        if any(
            net in self._carved or net in pieces or (past.claims and self._in_part(net))
            for net, past in zip(asked, pasts, strict=True)
        ):
            return self._decide_carved(touched, now)
        for network, past in zip(asked, pasts, strict=True):
            vetoed = bool(past.claims) and self._protection.protects(network) is not None
            (self._vetoed.add if vetoed else self._vetoed.discard)(network)
            if past.claims and not vetoed:
                block.append(Block(network, ends(past.claims)[network]))
            else:
                release.append(network)
        return block, release

    def _in_part(self, network: Network) -> bool:
        """Whether a block of `network` could be carved."""
        return not network.is_address and self._protection.protects(network) is not None

    def _decide_carved(
        self, touched: Iterable[Network], now: float
    ) -> tuple[list[Block], list[Network]]:
        """The same where blocks are carved, so that one claim is several blocks; this is rare."""
        before = _flat(self._carved)
        wanted = self._wanted(now)
        asked = before | _flat(self._carved) | set(touched)
        block = [Block(network, wanted[network]) for network in asked if network in wanted]
        return block, [network for network in asked if network not in wanted]

    def _reviewed(self, now: float) -> set[Network]:
        """The networks that a change of protection sets free or gives up."""
        before, pieces = self._vetoed, _flat(self._carved)
        self._wanted(now)
        return (before ^ self._vetoed) | (pieces ^ _flat(self._carved))

    def _protection_changed(self) -> bool:
        return self._protection_version() != self._protection_seen

    def _protection_version(self) -> int:
        return self._protection.version if isinstance(self._protection, Versioned) else 0

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Remembers a failure of the firewall: what it holds is not known then."""
        try:
            yield
        except GuardError:
            self._broken = self._suspect = True
            raise
