"""The second level: when many addresses of one /24 or /48 are banned, the whole block is.

Each address counts once, however often it is banned. The block is tested by the protection as any
network is, so that one protected address in it spares it. Off unless configured: a block is also
somebody's neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from guard.events import Claim
from guard.jails.settings import CrowdSettings
from guard.lib.durations import format_duration
from guard.lib.networks import Network
from guard.roles import Crowds, Ledger, Protection

SOURCE = "jail:crowd"


class Crowd:
    """Watches the bans of jails. `spared` counts blocks that somebody protected is in."""

    def __init__(
        self, settings: CrowdSettings, crowds: Crowds, ledger: Ledger, protection: Protection
    ) -> None:
        self._settings, self._crowds = settings, crowds
        self._ledger, self._protection = ledger, protection
        self.spared = 0

    def joined(self, bans: Sequence[Claim]) -> list[Claim]:
        """Claims on blocks that `bans` filled. Safe to repeat. Raises Unavailable."""
        if not self._settings.addresses:
            return []
        return [claim for ban in bans if (claim := self._joined(ban)) is not None]

    def _joined(self, ban: Claim) -> Claim | None:
        settings, time = self._settings, ban.since
        block = block_of(ban.network, settings)
        if block == ban.network:
            return None
        number = self._crowds.join(block, ban.network, time, settings.within)
        if number < settings.addresses or self._claimed(block, time):
            return None
        if self._protection.protects(block) is not None:
            self.spared += 1
            return None
        reason = f"{number} addresses banned within {format_duration(settings.within)}"
        claim = Claim(block, SOURCE, reason, time, time + settings.length)
        return self._ledger.claim([claim], time)[0]

    def forget(self, networks: Iterable[Network]) -> None:
        """Forgets who was banned in those that are blocks, and that addresses of others were."""
        if not self._settings.addresses:
            return
        gone: dict[Network, list[Network]] = {}
        whole: dict[Network, list[Network]] = {}
        for network in networks:
            block = block_of(network, self._settings)
            if block == network:
                whole[block] = []
            else:
                gone.setdefault(block, []).append(network)
        self._crowds.leave(gone | whole)

    def _claimed(self, block: Network, time: float) -> bool:
        (past,) = self._ledger.past([block], time)
        return any(claim.source == SOURCE for claim in past.claims)


def block_of(network: Network, settings: CrowdSettings) -> Network:
    """The block that `network` counts for."""
    return network.supernet(settings.ipv4_prefix if network.version == 4 else settings.ipv6_prefix)
