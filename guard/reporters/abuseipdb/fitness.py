"""Who is not told after all: protected by now, of no public network, or let go by hand."""

from __future__ import annotations

from collections.abc import Callable

from guard.lib.networks import Network, parse_address, parse_network
from guard.lib.prefixes import Prefixes
from guard.protect.reserved import reserved
from guard.reporters.abuseipdb.facts import Facts
from guard.reporters.abuseipdb.intake import QUEUE
from guard.reporters.outbox import Outbox, Waiting

Protects = Callable[[Network], str | None]
Held = Callable[[Network, float], bool]

SECOND_LOOK = 60.0
NOT_HELD = "nobody bans it any more"


class Fitness:
    """`held` says whether the ledger still blocks a network, whichever host let it go."""

    def __init__(self, outbox: Outbox, protects: Protects, held: Held) -> None:
        self._outbox, self._protects, self._held = outbox, protects, held
        self._special = Prefixes(network for network, _ in reserved())

    def against(self, address: str) -> str:
        """What speaks against telling of `address`, empty when nothing does."""
        network = parse_address(address)
        if self._special.overlaps(network):
            return "dropped as special-purpose"
        return "dropped as protected" if self._protects(network) is not None else ""

    def dismissed(self, waiting: Waiting, facts: Facts, now: float) -> bool:
        """Whether `waiting` is not told now; then it was dropped, or waits for a second look.

        A ban that was made while the store was gone may not be in the ledger yet.
        """
        if why_not := self.against(facts.address):
            self._outbox.done(QUEUE, [waiting.id], as_what=why_not)
        elif not self._let_go(facts, now):
            return False
        elif waiting.error == NOT_HELD:
            self._outbox.done(QUEUE, [waiting.id], as_what="taken back")
        else:
            self._outbox.later([waiting.id], now + SECOND_LOOK, NOT_HELD, failed=False)
        return True

    def _let_go(self, facts: Facts, now: float) -> bool:
        """Whether the ban ended before its time."""
        if not facts.network or (facts.until is not None and now >= facts.until - 1):
            return False
        return not self._held(parse_network(facts.network), now)
