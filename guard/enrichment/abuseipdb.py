"""AbuseIPDB's check and check-block (docs.abuseipdb.com, version 2).

A score of 100 is no proof: anybody may report, and outbound addresses of Gmail have had it.
"""

from __future__ import annotations

from collections.abc import Callable

from guard.enrichment.allowance import Allowance
from guard.enrichment.answers import (
    LookUpFailed,
    NotAsked,
    Tree,
    ask,
    branch,
    facts,
    number,
    question,
    text,
)
from guard.enrichment.settings import AbuseIpdbCheck
from guard.events import Opinion
from guard.lib.networks import Network
from guard.lib.secrets import Secret

NAME = "abuseipdb"
SHOWN = 3


class AbuseIpdb:
    """The role Enricher. Blocks have an allowance of their own, as they have there."""

    name = NAME

    def __init__(
        self,
        settings: AbuseIpdbCheck,
        key: Callable[[], Secret],
        checks: Allowance,
        blocks: Allowance,
    ) -> None:
        self._settings, self._key = settings, key
        self.allowance, self._blocks = checks, blocks

    def look_up(self, network: Network, now: float) -> Opinion:
        """The role's; of a block the worst score of its addresses."""
        settings = self._settings
        if network.is_address:
            query, where, allowance = {"ipAddress": str(network)}, "check", self.allowance
        else:
            if network.version == 4 and network.length < settings.widest:
                raise NotAsked(f"is asked about blocks up to /{settings.widest} only")
            query, where, allowance = {"network": str(network)}, "check-block", self._blocks
        query["maxAgeInDays"] = str(settings.max_age)
        asked = question(settings, where, {"Key": self._key()}, query)
        allowance.take(now)
        answer, tree = ask(NAME, asked, now)
        allowance.told(answer, now)
        if answer.status != 200:
            raise LookUpFailed(f"{NAME}: status {answer.status}", 60.0)
        return of_address(tree) if network.is_address else of_block(tree)


def of_address(tree: Tree) -> Opinion:
    """What the answer of `check` says. Raises LookUpFailed when it says nothing."""
    data = branch(tree, "data")
    score = number(data.get("abuseConfidenceScore"), 100)
    if score is None:
        raise LookUpFailed(f"{NAME}: its answer has no score", 60.0)
    reports = number(data.get("totalReports")) or 0
    found = facts(
        (
            ("reports", reports),
            ("reporters", data.get("numDistinctUsers")),
            ("last report", data.get("lastReportedAt")),
            ("usage type", data.get("usageType")),
            ("ISP", data.get("isp")),
            ("domain", data.get("domain")),
            ("country", data.get("countryCode")),
            ("Tor", data.get("isTor") or None),
            ("allow-listed there", data.get("isWhitelisted") or None),
        )
    )
    return Opinion(NAME, score, "reported" if reports else "not reported", facts=found)


def of_block(tree: Tree) -> Opinion:
    """What the answer of `check-block` says. Raises LookUpFailed when it says nothing."""
    data = branch(tree, "data")
    listed = data.get("reportedAddress")
    if not isinstance(listed, list):
        raise LookUpFailed(f"{NAME}: its answer has no addresses", 60.0)
    rows = [row for row in listed if isinstance(row, dict)]
    scores = [
        (number(r.get("abuseConfidenceScore"), 100) or 0, text(r.get("ipAddress"))) for r in rows
    ]
    worst = sorted(scores, reverse=True)[:SHOWN]
    found = facts(
        (
            ("addresses reported", len(rows)),
            ("worst", ", ".join(f"{address} {score}" for score, address in worst)),
            ("space", data.get("addressSpaceDesc")),
        )
    )
    verdict = "reported" if rows else "not reported"
    return Opinion(NAME, max((score for score, _ in scores), default=0), verdict, facts=found)
