"""What may be blocked of a list: less who is protected, collapsed, what was left out counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from guard.lib.networks import Network
from guard.lib.prefixes import Prefixes

SHOWN = 20
_TOP = {4: 24, 6: 120}  # bits below the first octet


class Shield(Protocol):
    """A Protection that also gives all that it protects, as one set."""

    @property
    def prefixes(self) -> Prefixes:
        """Everything protected."""
        ...

    def protects(self, network: Network) -> str | None:
        """The role's."""
        ...


@dataclass(frozen=True, slots=True)
class Cleaned:
    """`networks` is what is left. `removed` counts entries, by why; `shown` names some of them.

    An entry that is protected in part is counted there too, and what is left of it is blocked.
    """

    networks: list[Network]
    entries: int = 0
    duplicates: int = 0
    removed: dict[str, int] = field(default_factory=dict)
    shown: tuple[tuple[Network, str], ...] = ()


def clean(networks: Sequence[Network], shield: Shield) -> Cleaned:
    """`networks` without what `shield` protects, as the fewest blocks."""
    protected = shield.prefixes
    whole = Prefixes(networks)
    left = whole.minus(protected)
    removed: Counter[str] = Counter()
    shown = []
    for network in _suspects(networks, whole.minus(left)):
        if protected.overlaps(network):
            why = shield.protects(network) or "protected"
            removed[why] += 1
            shown.append((network, why))
    duplicates = len(networks) - len(set(networks))
    some = tuple(sorted(shown)[:SHOWN])
    return Cleaned(list(left), len(networks), duplicates, dict(removed.most_common()), some)


def _suspects(networks: Iterable[Network], cut: Prefixes) -> set[Network]:
    """Those of `networks` that may meet `cut`: a long list is not asked entry by entry."""
    if not cut:
        return set()
    if any(network.length < 8 for network in cut):
        return set(networks)
    tops = {4: set[int](), 6: set[int]()}
    for version, value, _ in cut:
        tops[version].add(value >> _TOP[version])
    return {n for n in networks if n[1] >> _TOP[n[0]] in tops[n[0]] or n[2] < 8}
