"""What an operator can do to the ledger, in values that JSON can carry.

The daemon runs these in its worker thread for the control socket; a command runs them itself when
no daemon is there. Nothing here touches the kernel: the mirror does, when the ledger has changed.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from guard.chronicle import Chronicle
from guard.events import Claim, Good, Permit
from guard.exchange import claim_row, rows_of, take
from guard.lib.bulk import bulk
from guard.lib.durations import parse_duration
from guard.lib.networks import Network, parse_network
from guard.pipeline import Pipeline
from guard.protect.carve import blockable
from guard.protect.hand import Hand
from guard.protect.pause import Pause
from guard.protect.restraint import said
from guard.roles import BadInput, Counters, Ledger, Protection

log = logging.getLogger("guard.operations")

REASON_LIMIT = 200
LONGEST = 1000 * 365.25 * 86400  # seconds; beyond it a mistake, and later than a calendar says


def _network(text: object) -> Network:
    try:
        return parse_network(str(text))
    except ValueError as error:
        raise BadInput(str(error)) from None


def _until(length: str | None, now: float) -> float | None:
    """The end of what begins now; None, and -1, is for ever."""
    try:
        seconds = -1.0 if length is None else parse_duration(length)
    except ValueError as error:
        raise BadInput(str(error)) from None
    if seconds == 0 or seconds > LONGEST:
        raise BadInput(f"{length!r} is no time to ban or allow for")
    return None if seconds < 0 else now + seconds


@dataclass(frozen=True)
class Operations:
    """The verbs of `guard bans`, `ban`, `unban`, `explain`."""

    pipeline: Pipeline
    counters: Counters
    ledger: Ledger
    protection: Protection
    chronicle: Chronicle
    switch: Pause | None = None
    hand: Hand | None = None

    def do(self, name: str, arguments: Mapping[str, Any], now: float) -> Any:
        """Runs the verb `name`. Raises BadInput for an unknown one or bad arguments."""
        verbs: dict[str, Callable[..., Any]] = {
            "bans": self.bans,
            "ban": self.ban,
            "unban": self.unban,
            "unban_all": self.unban_all,
            "explain": self.explain,
            "allow": self.allow,
            "disallow": self.disallow,
            "pause": self.pause,
            "resume": self.resume,
            "export": self.export,
            "import": self.import_,
        }
        if name not in verbs:
            raise BadInput(f"the daemon knows no {name!r}; are command and daemon of one version?")
        return verbs[name](now=now, **arguments)

    def bans(self, *, now: float) -> list[dict[str, Any]]:
        """Every live claim, oldest first."""
        return [claim_row(claim) for claim in self.ledger.claims(now)]

    def ban(
        self, *, now: float, network: str, length: str | None = None, reason: str = ""
    ) -> dict[str, Any]:
        """Claims `network` for `length` (None: for ever); refused where it is protected.

        Where a part of it is protected, and not the most, the kernel blocks the rest (`blocks`).
        """
        parsed, until = _network(network), _until(length, now)
        pieces = blockable(parsed, self.protection)
        if not pieces:
            raise BadInput(f"{parsed} is protected: {self.protection.protects(parsed)}")
        text = reason[:REASON_LIMIT] or "by hand"
        claim = self.pipeline.ban(parsed, until=until, reason=text, now=now)
        self.chronicle.banned([claim])
        return {**claim_row(claim), "blocks": [str(piece) for piece in pieces]}

    def unban(self, *, now: float, network: str) -> list[dict[str, Any]]:
        """Ends every claim on exactly `network`, and forgets what was counted against it."""
        ended = self.pipeline.unban(_network(network), now=now)
        self.chronicle.withdrawn(ended, now)
        return [claim_row(claim) for claim in ended]

    def unban_all(self, *, now: float) -> list[dict[str, Any]]:
        """Ends every claim there is."""
        return [row for rows in self.emptying(now) for row in rows]

    def emptying(self, now: float) -> Iterator[list[dict[str, Any]]]:
        """The same in pieces, for it may be a million. The first ends them all."""
        with self.chronicle.emptying():
            for piece in self.pipeline.unban_all(now=now):
                self.chronicle.ended(piece, now)
                with bulk():
                    rows = list(map(claim_row, piece.claims))
                yield rows

    def allow(
        self, *, now: float, network: str, length: str | None = None, reason: str = ""
    ) -> dict[str, Any]:
        """Lets `network` in for `length` (None: for ever), whoever claims it."""
        assert self.hand is not None
        parsed, until = _network(network), _until(length, now)
        permit = Permit(parsed, now, until, reason[:REASON_LIMIT])
        self.hand.allow(permit)
        claims = self._claims_around(parsed, now)
        row = {"network": str(parsed), "since": now, "until": until, "reason": permit.reason}
        return {**row, "claims": [claim_row(claim) for claim in claims]}

    def disallow(self, *, now: float, network: str) -> dict[str, Any]:
        """Ends that."""
        assert self.hand is not None
        parsed = _network(network)
        ended = self.hand.disallow(parsed, now)
        return {
            "network": str(parsed),
            "ended": ended,
            "protected": self.protection.protects(parsed),
        }

    def pause(self, *, now: float, length: str | None = None) -> dict[str, Any]:
        """Stops enforcement on this host for `length` (None: until `resume`)."""
        try:
            seconds = math.inf if length is None else parse_duration(length)
        except ValueError as error:
            raise BadInput(str(error)) from None
        if seconds <= 0 or self.switch is None:
            raise BadInput(f"{length!r} is no time to pause for")
        self.switch.pause(now + seconds)
        log.warning("%s", self.switch.said(now))
        return {"seconds": None if math.isinf(seconds) else seconds}

    def resume(self, *, now: float) -> dict[str, Any]:
        """Ends a pause and lets stopped jails go on."""
        jails: list[str] = []
        if (restraint := self.pipeline.restraint) is not None:
            jails = [
                jail for jail in restraint.brakes.stopped(now) if restraint.brakes.release(jail)
            ]
        paused = self.switch is not None and self.switch.resume()
        if paused:
            log.warning("enforcement goes on")
        for jail in jails:
            log.warning("jail %s goes on", jail)
        return {"paused": paused, "jails": jails}

    def export(self, *, now: float) -> list[dict[str, Any]]:
        """The whole ledger as rows."""
        return list(rows_of(self.ledger, now))

    def import_(self, *, now: float, rows: Sequence[Any]) -> dict[str, Any]:
        """Takes rows of an export; all those of a network in one call."""
        taken = take(rows, self.ledger, self.protection, now, self.pipeline.key)
        return {**taken.counts, "faults": taken.faults}

    def _good(self, key: Network, now: float) -> Good | None:
        restraint = self.pipeline.restraint
        return None if restraint is None else restraint.goods([key], now).get(key)

    def _claims_around(self, asked: Network, now: float) -> list[Claim]:
        """Every claim on a network that has an address of `asked` in it, oldest first."""
        if not asked.is_address:
            return [claim for claim in self.ledger.claims(now) if claim.network.overlaps(asked)]
        # What holds an address is soon asked for, however many claims there are.
        around = [asked.supernet(length) for length in range(asked.bits + 1)]
        found = [claim for past in self.ledger.past(around, now) for claim in past.claims]
        return sorted(found, key=lambda claim: claim.since)

    def explain(self, *, now: float, address: str) -> dict[str, Any]:
        """Everything that is held against an address, and what shields it."""
        asked = _network(address)
        claims = self._claims_around(asked, now)
        key = self.pipeline.key(asked)
        counted = self.counters.counted(key)
        blocks = {claim: blockable(claim.network, self.protection) for claim in claims}
        paused = "" if self.switch is None else self.switch.said(now)
        good = self._good(key, now)
        held = [] if paused else [p for b in blocks.values() for p in b if p.overlaps(asked)]
        return {
            "address": str(asked),
            "protected": self.protection.protects(asked),
            "paused": paused or None,
            "blocked": bool(held),
            "partly": bool(held) and not _whole(asked, held),
            "spared": [str(c.network) for c, pieces in blocks.items() if pieces != [c.network]],
            "standing": good and {"said": said(good, now), "how": good.how, "time": good.time},
            "claims": [claim_row(claim) for claim in claims],
            "counted": [
                {"jail": o.jail, "time": o.time, "rejections": o.rejections} for o in counted
            ],
            "strikes": sum(self.ledger.past([key], now)[0].strikes.values()),
        }


def _whole(asked: Network, pieces: Sequence[Network]) -> bool:
    """Whether `pieces`, which lie in `asked` or around it, leave no address of it out."""
    end, missing = asked.value - 1, 1 + asked.last - asked.value
    for piece in sorted(pieces):
        if piece.last > end:
            missing -= min(piece.last, asked.last) - max(piece.value - 1, end)
            end = piece.last
    return missing <= 0
