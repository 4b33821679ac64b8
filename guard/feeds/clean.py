"""What may be blocked of a list: less who is protected, collapsed, what was left out counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from guard.lib.networks import Network
from guard.lib.prefixes import Prefixes

SHOWN = 20


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
    distinct = set(networks)
    protected = shield.prefixes
    removed: Counter[str] = Counter()
    shown = []
    for network in distinct:
        if protected.overlaps(network):
            why = shield.protects(network) or "protected"
            removed[why] += 1
            shown.append((network, why))
    left = Prefixes(distinct).minus(protected)
    duplicates = len(networks) - len(distinct)
    some = tuple(sorted(shown)[:SHOWN])
    return Cleaned(list(left), len(networks), duplicates, dict(removed.most_common()), some)
