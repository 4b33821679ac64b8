"""Google Threat Intelligence and VirusTotal, version 3 of their common API.

The score is Google's threat score where the licence has it, else the share of the engines that call
the address malicious or suspicious, in percent. A public key is not for business use.
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
from guard.enrichment.settings import VirusTotalCheck
from guard.events import Opinion
from guard.lib.networks import Network
from guard.lib.secrets import Secret

NAME = "virustotal"
_AGAINST, _FOR = ("malicious", "suspicious"), ("harmless", "undetected")


class VirusTotal:
    """The role Enricher."""

    name = NAME

    def __init__(
        self, settings: VirusTotalCheck, key: Callable[[], Secret], allowance: Allowance
    ) -> None:
        self._settings, self._key, self.allowance = settings, key, allowance

    def look_up(self, network: Network, now: float) -> Opinion | None:
        """The role's, for single addresses."""
        if not network.is_address:
            raise NotAsked("is asked about single addresses only")
        asked = question(self._settings, f"ip_addresses/{network}", {"x-apikey": self._key()})
        self.allowance.take(now)
        answer, tree = ask(NAME, asked, now)
        if answer.status == 404:
            if branch(tree, "error").get("code") == "NotFoundError":
                return None
            raise LookUpFailed(f"{NAME}: status 404", 60.0)
        return of_address(tree)


def of_address(tree: Tree) -> Opinion:
    """What the answer says. Raises LookUpFailed when it says nothing."""
    found = branch(tree, "data", "attributes")
    stats = branch(found, "last_analysis_stats")
    against, harmless = (
        sum(number(stats.get(name), 1000) or 0 for name in names) for names in (_AGAINST, _FOR)
    )
    gti = branch(found, "gti_assessment")
    score = number(branch(gti, "threat_score").get("value"), 100)
    if not stats and score is None:
        raise LookUpFailed(f"{NAME}: its answer has no judgement", 60.0)
    verdict = text(branch(gti, "verdict").get("value")).removeprefix("VERDICT_").lower()
    if score is None:
        score = round(100 * against / (against + harmless)) if against else 0
    return Opinion(
        NAME,
        score,
        verdict or ("malicious" if against else "nothing against it"),
        facts=facts(
            (
                ("engines against it", f"{against} of {against + harmless}"),
                ("reputation", found.get("reputation")),
                ("owner", found.get("as_owner")),
                ("AS", found.get("asn")),
                ("country", found.get("country")),
            )
        ),
    )
