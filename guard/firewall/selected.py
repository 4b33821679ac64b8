"""Two firewalls that follow one ledger, each the claims of some sources.

So that what one list says closes every port while all else closes the ports of mail. An address
that both hold is blocked by both, and free when neither does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from guard.events import Claim, Past
from guard.firewall.mirror import Followed, Mirror, Report
from guard.lib.networks import Network
from guard.roles import GuardError


class Selected:
    """The claims in `ledger` whose source is `wanted`."""

    def __init__(self, ledger: Followed, wanted: Callable[[str], bool]) -> None:
        self._ledger, self._wanted = ledger, wanted

    def claims(self, now: float) -> list[Claim]:
        """Those of them that live."""
        return [claim for claim in self._ledger.claims(now) if self._wanted(claim.source)]

    def past(self, networks: Sequence[Network], now: float) -> list[Past]:
        """Those of them on exactly `networks`."""
        return [
            past._replace(claims=tuple(c for c in past.claims if self._wanted(c.source)))
            for past in self._ledger.past(networks, now)
        ]

    def changes(self, cursor: str) -> tuple[str, set[Network] | None]:
        """What changed, of any source: a network too many costs a look."""
        return self._ledger.changes(cursor)


class Mirrors:
    """Several mirrors as one. Each is tried, whatever becomes of the others."""

    def __init__(self, mirrors: Sequence[Mirror]) -> None:
        self._mirrors = mirrors

    def start(self, now: float) -> None:
        """Makes every firewall equal to its claims."""
        self._each(lambda mirror: mirror.start(now))

    def hurry(self, now: float) -> None:
        """Begins to apply what changed."""
        self._each(lambda mirror: mirror.hurry(now))

    def step(self, now: float) -> None:
        """Applies what changed."""
        self._each(lambda mirror: mirror.step(now))

    def reconcile(self, now: float) -> None:
        """Compares and repairs."""
        self._each(lambda mirror: mirror.reconcile(now))

    @property
    def spared(self) -> int:
        """How many claimed networks are not blocked, or not in full."""
        return sum(mirror.spared for mirror in self._mirrors)

    @property
    def alarm(self) -> str:
        """What is lastingly wrong with any of them."""
        return "; ".join(mirror.alarm for mirror in self._mirrors if mirror.alarm)

    @property
    def report(self) -> Report | None:
        """The sum of what they found last; None until all have looked."""
        found = [mirror.report for mirror in self._mirrors if mirror.report is not None]
        if len(found) < len(self._mirrors):
            return None
        return Report(
            sum(report.expected for report in found),
            sum(report.present for report in found),
            sum(report.missing for report in found),
            sum(report.foreign for report in found),
            tuple(fault for report in found for fault in report.faults),
            tuple(warning for report in found for warning in report.warnings),
        )

    def dropped(self) -> dict[str, tuple[int, int]]:
        """(packets, bytes) dropped by each set of any of them."""
        found: dict[str, tuple[int, int]] = {}
        for mirror in self._mirrors:
            for name, (packets, size) in mirror.dropped().items():
                before = found.get(name, (0, 0))
                found[name] = before[0] + packets, before[1] + size
        return found

    def _each(self, work: Callable[[Mirror], object]) -> None:
        errors: list[GuardError] = []
        for mirror in self._mirrors:
            try:
                work(mirror)
            except GuardError as error:
                errors.append(error)
        if errors:
            raise errors[0]
