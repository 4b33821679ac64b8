"""GreyNoise's community API: who scans the whole Internet, and who is a service that all use.

`riot` (their word) marks services of business and the Internet's own, a veto against a ban.
"""

from __future__ import annotations

from collections.abc import Callable

from guard.enrichment.allowance import Allowance
from guard.enrichment.answers import LookUpFailed, NotAsked, Tree, ask, facts, question, text
from guard.enrichment.settings import GreyNoiseCheck
from guard.events import Opinion
from guard.lib.networks import Network
from guard.lib.secrets import Secret

NAME = "greynoise"
_SCORES = {"malicious": 100, "suspicious": 50, "benign": 0}


class GreyNoise:
    """The role Enricher; `key` None asks as somebody without an account."""

    name = NAME

    def __init__(
        self, settings: GreyNoiseCheck, key: Callable[[], Secret] | None, allowance: Allowance
    ) -> None:
        self._settings, self._key, self.allowance = settings, key, allowance

    def look_up(self, network: Network, now: float) -> Opinion | None:
        """The role's, for single addresses."""
        if not network.is_address:
            raise NotAsked("is asked about single addresses only")
        secrets = {"key": self._key()} if self._key else {}
        asked = question(self._settings, str(network), secrets)
        self.allowance.take(now)
        answer, tree = ask(NAME, asked, now)
        if answer.status == 404:
            # Its own word for "never seen"; a page that is not there says neither.
            if tree.get("ip") == str(network) or isinstance(tree.get("noise"), bool):
                return None
            raise LookUpFailed(f"{NAME}: status 404", 60.0)
        return of_address(tree, veto=self._settings.veto)


def of_address(tree: Tree, *, veto: bool = True) -> Opinion:
    """What the answer says. Raises LookUpFailed when it says nothing."""
    riot, noise = tree.get("riot"), tree.get("noise")
    if not isinstance(riot, bool) or not isinstance(noise, bool):
        raise LookUpFailed(f"{NAME}: its answer has no judgement", 60.0)
    classification = text(tree.get("classification"))
    return Opinion(
        NAME,
        0 if riot else _SCORES.get(classification),
        "common service" if riot else classification or "unknown",
        veto=riot and veto,
        facts=facts(
            (
                ("name", tree.get("name")),
                ("scans the Internet", noise),
                ("last seen", tree.get("last_seen")),
            )
        ),
    )
