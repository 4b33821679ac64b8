"""Keeps a firewall equal to the ledger: nothing else ever tells a firewall anything.

What each claim means for the kernel is decided in share.py, one share for each group of claims that
the firewall keeps in sets of its own. `step` follows the ledger's changes; `reconcile` reads what
the firewall really holds, repairs the difference and says what it was. A mirror whose firewall
failed lays everything anew at the next step; it does not retry by itself.

Trusts the ledger. Does not run by itself: somebody calls `step` and `reconcile` with the time.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from guard.events import Block, Claim
from guard.firewall.abilities import (
    Capped,
    Checked,
    Counting,
    Glanced,
    Grouping,
    Settling,
    Tidying,
    Untimed,
    Watched,
)
from guard.firewall.followed import Followed, Versioned
from guard.firewall.groups import UNION
from guard.firewall.intervals import SLACK
from guard.firewall.share import Ends, Share, difference
from guard.lib.bulk import bulk
from guard.lib.networks import Network
from guard.roles import Firewall, GuardError, Protection, Unavailable

_log = logging.getLogger(__name__)
# From here on laying everything anew is faster than reading it: the kernel lists a hash set of
# nftables in quadratic time (0.5 s for 100,000, 46 s for a million, which are laid in 3.5 s).
READABLE = 200_000
# More changes at once than this are laid as a whole: a pause, or a wide entry in `allow`.
MANY = 10_000
_LASTING = 2
_OTHER = -1.0  # when no block ends


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


def _together(source: str) -> tuple[str, ...]:
    """Every claim in one group."""
    return ("",)


class Mirror:
    """One firewall that follows one ledger. Not for two threads at once."""

    def __init__(
        self,
        ledger: Followed,
        firewall: Firewall,
        protection: Protection,
        group: Callable[[str], tuple[str, ...]] = _together,
    ) -> None:
        """`group` tells the groups of a claim's source, its own first.

        It is that of "" where the firewall has not that one.
        """
        self._ledger, self._firewall, self._protection = ledger, firewall, protection
        self._group = group
        groups = firewall.groups if isinstance(firewall, Grouping) else ()
        self._shares = {"": Share(firewall, protection, whole=not groups)}
        if isinstance(firewall, Grouping):
            for name in groups:
                self._shares[name] = Share(firewall.group(name), protection, whole=False)
        self._posting = firewall if isinstance(firewall, Settling) else None
        self._cursor = ""
        self._protection_seen = self._protection_version()
        # Whether the firewall may hold anything else than was laid.
        self._broken = self._suspect = True
        # The time less that of the kernel's clock, which counts on when somebody sets the time.
        self._offset = 0.0
        self._failure = ""
        # What is blocked ahead of the ledger, since the last step.
        self._ahead: dict[Network, float | None] = {}
        # What was found and repaired between two comparisons.
        self._noticed: tuple[str, ...] = ()
        self._dirty_in_a_row = 0
        self._latest = 0.0
        self._glanced = 0.0
        self._warned: set[str] = set()
        self.report: Report | None = None
        self.compared: float | None = None  # when that was found

    @property
    def spared(self) -> int:
        """How many claimed networks are not blocked, or not in full, for somebody is protected."""
        return len(set().union(*(share.vetoed for share in self._shares.values())))

    @property
    def alarm(self) -> str:
        """What is lastingly wrong with the firewall, in a line for `guard status`; else empty."""
        if self._failure:
            return f"the kernel does not follow the ledger: {self._failure}"
        if self.report is None or self._dirty_in_a_row < _LASTING:
            return ""
        found = self.report
        counts = f"{found.missing} missing and {found.foreign} foreign of {found.expected}"
        return "; ".join([f"the firewall keeps differing from the ledger: {counts}", *found.faults])

    def dropped(self) -> dict[str, tuple[int, int]]:
        """(packets, bytes) dropped so far by each set, where the firewall counts and answers."""
        try:
            if isinstance(self._firewall, Counting):
                return self._firewall.dropped()
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
            # Groups first: what moves into one is there before it leaves where it was.
            for name in reversed(self._shares):
                self._lay(name, wanted[name], now)
            if isinstance(self._firewall, Tidying):
                self._firewall.tidy()
        self._cursor, self._broken, self._suspect = cursor, False, False
        self._ahead = {}
        self._failure, self._offset = "", now - time.monotonic()
        self._latest = max(self._latest, time.monotonic() - began)

    def hurry(self, claims: Sequence[Claim], now: float) -> None:
        """Begins to block whom jails are about to claim, and nobody else claims.

        `step` does the rest, and releases what came of no claim. Where the firewall works beside
        this process, it does so while the caller goes on; else nothing is begun.
        """
        if self._posting is None or self._broken or self._protection_changed():
            return
        if block := self._shares[""].ahead(claims):
            self._ahead.update(block)
            with self._guarded():
                self._posting.post(block, (), now)

    def hurried(self) -> None:
        """Waits until all that was begun is done.

        Who only went on might keep the processor that the firewall's process needs for it.
        """
        if self._posting is not None and not self._broken:
            with self._guarded():
                self._posting.settle()

    def step(self, now: float) -> None:
        """Applies what changed in the ledger since the last call, and what has ended."""
        if not self._settled() or self._broken or self._removed(now):
            self.start(now)
            return
        if isinstance(self._firewall, Untimed):
            with self._guarded():
                self._firewall.expire(now)
        cursor, touched = self._ledger.changes(self._cursor)
        if touched is None:
            self.start(now)
            return
        touched = touched | self._ahead.keys()
        reviewed: dict[str, set[Network]] = {}
        if self._protection_changed():
            reviewed = self._reviewed(now)
            if len(touched) + sum(map(len, reviewed.values())) > MANY:
                self.start(now)
                return
        if touched or any(reviewed.values()):
            self._follow(touched, reviewed, now)
        self._cursor, self._ahead = cursor, {}

    def reconcile(self, now: float) -> Report:
        """Compares firewall and ledger, repairs, and returns what was found before the repair."""
        began = time.monotonic()
        self.step(now)
        with bulk():
            wanted = self._wanted(now)
            count = sum(len(ends) for name, ends in wanted.items() if name != UNION)
            try:
                with self._guarded():
                    found = self._compared(wanted, count, now, began)
            except Unavailable as error:
                self.start(now)
                found = Report(count, 0, count, 0, (str(error),))
        self._note(found)
        self.compared = now
        return found

    def _compared(self, wanted: dict[str, Ends], count: int, now: float, began: float) -> Report:
        firewall = self._firewall
        warnings: tuple[str, ...] = ()
        faults: tuple[str, ...] = ()
        if isinstance(firewall, Checked):
            faults, warnings = tuple(firewall.faults()), tuple(firewall.warnings())
            if faults:
                firewall.open()
                self._suspect = True
        if isinstance(firewall, Watched):
            self._suspect |= firewall.disturbed() or self._clock_was_set(now)
            if not self._suspect:
                # Nobody but the kernel's clock was there since all this was laid or read.
                return Report(count, count, 0, 0, faults, warnings)
        found = {
            name: self._repaired(name, wanted[name], now, began) for name in reversed(self._shares)
        }
        if faults and isinstance(firewall, Grouping):
            firewall.tidy()
        self._suspect = False
        # What all feeds list is in each feed's share as well, and is told there if it can be.
        _, more, others = found.pop(UNION, (0, 0, 0))
        present, missing, foreign = map(sum, zip(*found.values(), strict=True))
        return Report(count, present, missing or more, foreign or others, faults, warnings)

    def _repaired(self, name: str, wanted: Ends, now: float, began: float) -> tuple[int, int, int]:
        """Makes one share as `wanted`; how many were present, missing and foreign."""
        holds, firewall = self._shares[name].holds, self._firewall
        if len(wanted) > READABLE and isinstance(firewall, Watched):
            self._lay(name, wanted, now)
            return len(wanted), 0, 0
        present = holds.blocked(now)
        # Ends are told from `now`, but the kernel counts from when it was told or asked.
        slack = SLACK + self._latest + time.monotonic() - began
        longest = firewall.longest if isinstance(firewall, Capped) else None
        missing, foreign = difference(wanted, present, now, longest, slack)
        if missing or foreign:
            holds.apply(missing, foreign, now)
        return len(present), len(missing), len(foreign)

    def _clock_was_set(self, now: float) -> bool:
        """Whether the kernel's ends are those of the ledger no longer: it counts what is left."""
        before, self._offset = self._offset, now - time.monotonic()
        return abs(self._offset - before) > SLACK

    def _lay(self, name: str, wanted: Ends, now: float) -> None:
        holds = self._shares[name].holds
        holds.replace((Block(network, until) for network, until in wanted.items()), now)

    def _note(self, report: Report) -> None:
        """Says what was found, and remembers it with what was noticed before."""
        self.report = report._replace(faults=(*report.faults, *self._noticed))
        self._noticed = ()
        self._dirty_in_a_row = 0 if self.report.clean else self._dirty_in_a_row + 1
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

    def _settled(self) -> bool:
        """Whether all that was posted is done."""
        if self._posting is None:
            return True
        try:
            with self._guarded():
                self._posting.settle()
        except GuardError as error:
            _log.warning("firewall: %s; laying everything anew", error)
            return False
        return True

    def _removed(self, now: float) -> bool:
        """Whether somebody took away what is not merely an element, as far as is told at once."""
        firewall = self._firewall
        with self._guarded():
            if not self._to_be_looked_at(now):
                return False
            self._suspect = True
            faults = firewall.faults() if isinstance(firewall, Checked) else []
        for fault in faults:
            _log.warning("firewall: %s; laying everything anew", fault)
        self._noticed = tuple(dict.fromkeys((*self._noticed, *faults)))
        return bool(faults)

    def _to_be_looked_at(self, now: float) -> bool:
        firewall = self._firewall
        if isinstance(firewall, Watched):
            return firewall.disturbed()
        if not isinstance(firewall, Glanced) or 0 <= now - self._glanced < firewall.glance:
            return False
        self._glanced = now
        return True

    def _wanted(self, now: float) -> dict[str, Ends]:
        """All that each share is to block; notes what protection keeps out."""
        self._protection_seen = self._protection_version()
        claims = self._claims(now)
        return {name: share.wanted(claims[name]) for name, share in self._shares.items()}

    def _claims(self, now: float) -> dict[str, list[Claim]]:
        """The claims of each share."""
        live = self._ledger.claims(now)
        if len(self._shares) == 1:
            return {"": live}
        found: dict[str, list[Claim]] = {name: [] for name in self._shares}
        for claim in live:
            for name in self._names(claim):
                found[name].append(claim)
        return found

    def _names(self, claim: Claim) -> tuple[str, ...]:
        """The shares that a claim belongs to: of a feed, also that of all feeds together."""
        names = self._group(claim.source)
        return names if names[0] in self._shares else ("",)

    def _follow(
        self,
        touched: set[Network],
        reviewed: dict[str, set[Network]],
        now: float,
    ) -> None:
        """Tells each share's firewall what the ledger says now of networks that changed.

        What is blocked `ahead` of the ledger until the right time need not be told again.
        """
        asked = list(touched.union(*reviewed.values()))
        live: defaultdict[str, dict[Network, list[Claim]]] = defaultdict(dict)
        alone = len(self._shares) == 1
        for network, past in zip(asked, self._ledger.past(asked, now), strict=True):
            if alone and past.claims:
                live[""][network] = [*past.claims]
                continue
            for claim in past.claims:
                for name in self._names(claim):
                    live[name].setdefault(network, []).append(claim)
        for name in reversed(self._shares):
            share, again = self._shares[name], reviewed.get(name, set())
            everything = partial(self._claims_of, name, now)
            block, release = share.decide(touched, again, live[name], everything)
            if self._ahead and not name:
                held = self._ahead
                block = [each for each in block if held.get(each[0], _OTHER) != each[1]]
            if block or release:
                with self._guarded():
                    share.holds.apply(block, release, now)

    def _claims_of(self, name: str, now: float) -> list[Claim]:
        return self._claims(now)[name]

    def _reviewed(self, now: float) -> dict[str, set[Network]]:
        """The networks that a change of protection sets free or gives up, by share."""
        self._protection_seen = self._protection_version()
        claims = self._claims(now)
        return {name: share.reviewed(claims[name]) for name, share in self._shares.items()}

    def _protection_changed(self) -> bool:
        return self._protection_version() != self._protection_seen

    def _protection_version(self) -> int:
        return self._protection.version if isinstance(self._protection, Versioned) else 0

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Remembers a failure of the firewall: what it holds is not known then."""
        try:
            yield
        except GuardError as error:
            self._broken = self._suspect = True
            self._failure = str(error)
            raise
