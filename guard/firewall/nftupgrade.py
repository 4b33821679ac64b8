"""From the table of another release of Guard, or of another configuration, to today's.

Sets that are missing are added. One that is not as this release makes it cannot be changed where
it is: then the whole table is made anew in one transaction, and whatever its sets held goes along,
so that nobody gets in on the way. Reads only sets of addresses; what else there is goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from guard.firewall import nftrules, nftsets
from guard.firewall.groups import group_of_set
from guard.firewall.intervals import Range, blocks_of, disjoint, later
from guard.firewall.netlink import Netlink
from guard.firewall.nftlayout import SETS, Layout, Set, script, sets_of
from guard.lib.networks import Network

_TIMEOUT, _INTERVAL = 0x10, 0x4
_TYPES = {4: 7, 6: 8}  # of nft's own: ipv4_addr, ipv6_addr
_HASHED = {(kind.version, kind.length): kind for kind in SETS if kind.length is not None}
_RANGED = {kind.version: kind for kind in SETS if kind.length is None}
_Ends = dict[Network, float | None]


def expected(kinds: Iterable[Set] = SETS) -> dict[str, nftrules.SetShape]:
    """What this release makes of `kinds`."""
    return {
        kind.name: nftrules.SetShape(
            _TIMEOUT | (0 if kind.length else _INTERVAL), _TYPES[kind.version], kind.bits // 8
        )
        for kind in kinds
    }


def upgrade(netlink: Netlink, layout: Layout) -> tuple[str, bool]:
    """What makes the table like `layout`, and whether that makes the sets anew.

    Sets of feeds that are no longer followed stay in force, until `surplus` finds them.
    """
    present = nftrules.sets(netlink, layout.table)
    others = _groups(present) - set(layout.groups)
    known = [*layout.sets, *(kind for group in others for kind in sets_of(group))]
    if present.items() <= expected(known).items():
        return script(layout, sorted(others)), False
    held: _Ends = {}
    for name, shape in present.items():
        for network, left in _read(netlink, layout.table, name, shape).items():
            held[network] = later(held[network], left) if network in held else left
    lines = "".join(f"{line}\n" for line in _elements(layout.table, held))
    return f"delete table inet {layout.table}\n{script(layout)}{lines}", True


def surplus(netlink: Netlink, layout: Layout) -> list[str]:
    """The groups that have sets in the table and none in the layout."""
    return sorted(_groups(nftrules.sets(netlink, layout.table)) - set(layout.groups))


def _groups(names: Iterable[str]) -> set[str]:
    return {group for group in map(group_of_set, names) if group}


def _read(netlink: Netlink, table: str, name: str, shape: nftrules.SetShape) -> _Ends:
    """What a set of addresses blocks; ends count from zero, as `timeout` does."""
    version = {4: 4, 16: 6}.get(shape.size)
    if version is None:
        return {}
    elements = nftsets.parse(netlink.dump(nftsets.listing(table, name)))
    if shape.flags & _INTERVAL:
        return {
            network: span.until
            for span in nftsets.spans(elements, shape.size * 8, 0.0)
            for network in blocks_of(span, version)
        }
    known = next((kind.length for kind in SETS if kind.name == name), None) or shape.size * 8
    return {
        Network(version, int.from_bytes(key, "big"), known): None if left is None else left / 1000
        for key, left, _ in elements
    }


def _elements(table: str, held: _Ends) -> Iterator[str]:
    """The commands that fill the new sets."""
    for network, left in held.items():
        if kind := _HASHED.get((network.version, network.length)):
            address = str(Network(network.version, network.value, kind.bits))
            yield _line(table, kind, address, left)
    for version, kind in _RANGED.items():
        prefixes = {n: left for n, left in held.items() if n.version == version}
        ranged = {n: left for n, left in prefixes.items() if (version, n.length) not in _HASHED}
        for span in disjoint(ranged):
            yield _line(table, kind, _range(span, kind), span.until)


def _line(table: str, kind: Set, what: str, left: float | None) -> str:
    timeout = "" if left is None else f" timeout {max(1, round(left))}s"
    return f"add element inet {table} {kind.name} {{ {what}{timeout} }}"


def _range(span: Range, kind: Set) -> str:
    first, last = (Network(kind.version, value, kind.bits) for value in span[:2])
    return f"{first}-{last}" if first != last else str(first)
