"""What may be blocked of a list: less who is protected, collapsed, what was left out counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
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
    whole = Prefixes(distinct)
    left = whole.minus(protected)
    removed: Counter[str] = Counter()
    shown = []
    for network in _suspects(distinct, whole.minus(left)):
        if protected.overlaps(network):
            why = shield.protects(network) or "protected"
            removed[why] += 1
            shown.append((network, why))
    duplicates = len(networks) - len(distinct)
    some = tuple(sorted(shown)[:SHOWN])
    return Cleaned(list(left), len(networks), duplicates, dict(removed.most_common()), some)


def _suspects(networks: Iterable[Network], cut: Prefixes) -> Iterator[Network]:
    """Those of `networks` that may meet `cut`: a long list is not asked entry by entry."""
    if not cut:
        return
    tops = {(n.version, n.value >> n.bits - 8) for n in cut if n.length >= 8}
    wide = any(n.length < 8 for n in cut)
    for network in networks:
        version, value, length = network
        if wide or length < 8 or (version, value >> (24 if version == 4 else 120)) in tops:
            yield network
