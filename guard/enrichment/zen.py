"""Spamhaus ZEN by DNS: what the addresses that it answers with mean.

127.0.0.x is a listing. 127.255.255.x is an error and never a listing: Spamhaus answers so to public
resolvers and to whoever asks too much, and a reader that takes it for a listing blocks the world.
Anything else is not Spamhaus speaking.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from guard.enrichment.allowance import Allowance
from guard.enrichment.answers import LookUpFailed, NotAsked
from guard.events import Opinion
from guard.lib.logs import printable
from guard.lib.networks import Network
from guard.lib.secrets import Secret
from guard.protect.dns import Ask, pointer
from guard.roles import Unavailable

NAME = "zen"
HOUR = 3600.0
# https://www.spamhaus.org/faqs/dnsbl-usage/
MEANINGS = {
    "127.0.0.2": ("SBL", 100),
    "127.0.0.3": ("CSS", 100),
    **dict.fromkeys((f"127.0.0.{n}" for n in (4, 5, 6, 7)), ("XBL", 100)),
    "127.0.0.9": ("DROP", 100),
    # Where people live: no mail server, and no offender either.
    "127.0.0.10": ("PBL, of its provider", 0),
    "127.0.0.11": ("PBL", 0),
    "127.0.0.30": ("BCL", 100),
}
ERRORS = {
    "127.255.255.252": "the name of its zone is not right",
    "127.255.255.254": "it does not answer public resolvers; name another in name_servers",
    "127.255.255.255": "it was asked too often",
}


class Zen:
    """The role Enricher: `ask` is put questions below what `zone` gives, which may hold a key."""

    name = NAME

    def __init__(self, zone: Callable[[], Secret], ask: Ask, allowance: Allowance) -> None:
        self._zone, self._ask, self.allowance = zone, ask, allowance

    def look_up(self, network: Network, now: float) -> Opinion | None:
        """The role's, for single addresses."""
        if not network.is_address:
            raise NotAsked("is asked about single addresses only")
        zone = self._zone()
        self.allowance.take(now)
        try:
            found = self._ask(f"{pointer(network).rsplit('.', 2)[0]}.{zone.reveal()}", "A")
        except Unavailable as error:
            raise LookUpFailed(printable(zone.scrub(str(error)))[:200]) from None
        return judge(found)


def _order(code: str) -> tuple[int, str]:
    return len(code), code


def judge(codes: Sequence[str]) -> Opinion | None:
    """What the addresses in an answer say; None for nothing. Raises LookUpFailed for errors."""
    for code in codes:
        if code.startswith("127.255.255."):
            raise LookUpFailed(f"{NAME}: {ERRORS.get(code, f'error {code}')}", HOUR)
    if any(not code.startswith("127.0.0.") for code in codes):
        raise LookUpFailed(f"{NAME}: somebody else answers in its place", HOUR)
    if not codes:
        return None
    known = [MEANINGS.get(code, (f"listed, {code}", 0)) for code in sorted(codes, key=_order)]
    words = list(dict.fromkeys(word for word, _ in known))
    return Opinion(NAME, max(score for _, score in known), ", ".join(words), facts={})
