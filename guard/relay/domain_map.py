"""A map from domain names to values, with wildcards: KumoMTA's, look-up for look-up.

The rule is that of KumoMTA's domain_map (crates/domain-map, `get`), surprises included, because
the same file has to give the same verdict: names are compared label by label from the right, byte
for byte; where a label is missing, `*` of *that* level decides, and no other level is tried. So
`*.example.com` holds for any depth below example.com but not for example.com itself, and a longer
key takes every name on the way to it out of a shorter wildcard. Knows nothing of IDNA or case:
keys and names are what they are (domain.py makes names canonical).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

V = TypeVar("V")


class _Node(Generic[V]):
    __slots__ = ("below", "value")

    def __init__(self) -> None:
        self.value: V | None = None
        self.below: dict[str, _Node[V]] = {}


class DomainMap(Generic[V]):
    """Immutable once made; of two equal keys the later wins."""

    __slots__ = ("_top",)

    def __init__(self, entries: Iterable[tuple[str, V]] = ()) -> None:
        self._top: _Node[V] = _Node()
        for key, value in entries:
            node = self._top
            for label in reversed(key.split(".")):
                node = node.below.setdefault(label, _Node())
            node.value = value

    def get(self, name: str) -> V | None:
        """The value for `name`, or None; `""` is a name like any other (one empty label)."""
        node = self._top
        for label in reversed(name.split(".")):
            found = node.below.get(label)
            if found is None:
                wild = node.below.get("*")
                return wild.value if wild else None
            node = found
        return node.value
