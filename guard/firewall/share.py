"""What one group of claims has the kernel block: its networks, less who is protected.

A network is blocked while one of the group's claims on it lives and nobody protects it, until the
last of these claims ends; where only part of it is protected the rest may be, and the protection
says how. Decides; the mirror reads the ledger and tells the firewall.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from guard.events import Block, Claim
from guard.firewall.abilities import Holding
from guard.firewall.intervals import SLACK, later, outlasts
from guard.lib.networks import Network
from guard.roles import Carving, Protection

_BITS = {4: 32, 6: 128}
Ends = Mapping[Network, float | None]
Claims = Mapping[Network, Sequence[Claim]]
# The year 2445; nftables counts 584 years.
_AGES = 1.5e10


class Difference(NamedTuple):
    """What makes the present into what is wanted."""

    missing: list[Block]
    foreign: list[Network]


def countable(until: float | None) -> float | None:
    """The end as a kernel can count it; what is later is for ever."""
    return None if until is None or until > _AGES else until


def ends(claims: Iterable[Claim]) -> dict[Network, float | None]:
    """Each network with the end of its last claim."""
    found: dict[Network, float | None] = {}
    for claim in claims:
        until = countable(claim.until)
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


class Share:
    """One group's part of the ledger, and what it is laid into."""

    def __init__(self, holds: Holding, protection: Protection, *, whole: bool) -> None:
        """`whole`: there is no other group, and whatever changed is this one's."""
        self.holds, self._protection, self._whole = holds, protection, whole
        self.vetoed: set[Network] = set()
        self._carved: dict[Network, list[Network]] = {}
        self._claimed: set[Network] = set()

    def wanted(self, claims: Iterable[Claim]) -> dict[Network, float | None]:
        """All that is to be blocked of `claims`, all of the group's; notes what is kept out."""
        found = ends(claims)
        if not self._whole:
            self._claimed = set(found)
        self.vetoed = {net for net in found if self._protection.protects(net) is not None}
        self._carved = self._pieces(self.vetoed)
        kept = {net: until for net, until in found.items() if net not in self.vetoed}
        for network, pieces in self._carved.items():
            for piece in pieces:
                end = found[network]
                kept[piece] = later(kept[piece], end) if piece in kept else end
        return kept

    def reviewed(self, claims: Iterable[Claim]) -> set[Network]:
        """The networks that a change of protection sets free or gives up."""
        before, pieces = self.vetoed, self._flat()
        self.wanted(claims)
        return (before ^ self.vetoed) | (pieces ^ self._flat())

    def ahead(self, claims: Iterable[Claim]) -> list[Block]:
        """What `claims` will have blocked, which are the only ones on their networks.

        Only whole networks; the rest is for `decide`, which is to be asked of all of them.
        """
        block: list[Block] = []
        carved = self._flat() | self._carved.keys()
        protects, new = self._protection.protects, tuple.__new__
        for claim in claims:
            network = claim.network
            if protects(network) is None and not (carved and network in carved):
                block.append(new(Block, (network, countable(claim.until))))
        return block

    def decide(
        self,
        touched: set[Network],
        reviewed: set[Network],
        live: Claims,
        claims: Callable[[], Iterable[Claim]],
    ) -> tuple[list[Block], list[Network]]:
        """What to block and to release, when something else is claimed of `touched` than before.

        `reviewed` is what `reviewed` returned, `live` has the group's claims on all of these that
        have any, `claims` reads all of the group's.
        """
        if self._whole:
            touched = touched | reviewed
        else:
            touched = (touched & self._claimed) | live.keys() | reviewed
            self._claimed -= touched
            self._claimed |= live.keys()
        pieces = self._flat()
        if not (touched.isdisjoint(self._carved) and touched.isdisjoint(pieces)) or any(
            self._in_part(net) for net in live if net[2] < _BITS[net[0]]
        ):
            return self._decide_carved(touched, claims)
        block, release = [], []
        protects, new = self._protection.protects, tuple.__new__
        for network in touched:
            claimed = live.get(network)
            vetoed = claimed is not None and protects(network) is not None
            if vetoed:
                self.vetoed.add(network)
            elif self.vetoed:
                self.vetoed.discard(network)
            if claimed and not vetoed:
                alone = len(claimed) == 1
                until = countable(claimed[0].until) if alone else ends(claimed)[network]
                block.append(new(Block, (network, until)))
            else:
                release.append(network)
        return block, release

    def _decide_carved(
        self, touched: set[Network], claims: Callable[[], Iterable[Claim]]
    ) -> tuple[list[Block], list[Network]]:
        """The same where blocks are carved, so that one claim is several blocks; this is rare."""
        before = self._flat()
        wanted = self.wanted(claims())
        asked = before | self._flat() | touched
        block = [Block(network, wanted[network]) for network in asked if network in wanted]
        return block, [network for network in asked if network not in wanted]

    def _pieces(self, vetoed: Iterable[Network]) -> dict[Network, list[Network]]:
        """What may be blocked of each network that is protected in part."""
        if not isinstance(self._protection, Carving):
            return {}
        found = {net: self._protection.carve(net) for net in vetoed if not net.is_address}
        return {net: pieces for net, pieces in found.items() if pieces}

    def _in_part(self, network: Network) -> bool:
        """Whether a block of `network` could be carved."""
        return not network.is_address and self._protection.protects(network) is not None

    def _flat(self) -> set[Network]:
        return {piece for pieces in self._carved.values() for piece in pieces}
