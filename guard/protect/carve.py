"""A block that covers somebody protected: carved around him, or refused.

Pure. Feeds are always carved exactly; this is for a block that one operator or one jail asks for.
"""

from __future__ import annotations

from collections.abc import Iterable

from guard.lib.networks import Network
from guard.lib.prefixes import Prefixes
from guard.roles import Carving, Protection

MOST_PIECES = 128


def carve(network: Network, protected: Iterable[Network]) -> list[Network]:
    """What may be blocked of `network` when `protected` may not: itself, pieces, or nothing.

    Whichever leaves out less is done: a block that is mostly protected was meant for somebody
    else and is refused whole; where the protected are the smaller part, the rest is blocked.
    More than MOST_PIECES pieces are refused too (one address out of an IPv6 /64 leaves 64).
    """
    kept = list(protected)
    if not kept:
        return [network]
    whole = Prefixes([network])
    rest = whole.minus(Prefixes(kept))
    if rest == whole:
        return [network]
    if 2 * rest.addresses(network.version) < whole.addresses(network.version):
        return []
    pieces = list(rest)
    return pieces if len(pieces) <= MOST_PIECES else []


def blockable(network: Network, protection: Protection) -> list[Network]:
    """What may be blocked of `network`, as `protection` knows: itself, pieces, or nothing."""
    if isinstance(protection, Carving):
        return protection.carve(network)
    return [network] if protection.protects(network) is None else []
