"""From the table of another release of Guard to today's, in one transaction.

A set that is not as this release makes it cannot be changed where it is: the whole table is made
anew, and whatever its sets held goes along, so that nobody gets in on the way. Reads only sets of
addresses; what else it finds in the table goes.
"""

from __future__ import annotations

from collections.abc import Iterator

from guard.firewall import nftrules, nftsets
from guard.firewall.intervals import Range, blocks_of, disjoint
from guard.firewall.netlink import Netlink
from guard.firewall.nftlayout import HASHED, RANGED, SETS, Set
from guard.lib.networks import Network

_TIMEOUT, _INTERVAL = 0x10, 0x4
_TYPES = {4: 7, 6: 8}  # of nft's own: ipv4_addr, ipv6_addr
_Ends = dict[Network, float | None]


def expected() -> dict[str, nftrules.SetShape]:
    """The sets of this release."""
    return {
        kind.name: nftrules.SetShape(
            _TIMEOUT | (0 if kind.length else _INTERVAL), _TYPES[kind.version], kind.bits // 8
        )
        for kind in SETS
    }


def upgrade(netlink: Netlink, table: str, script: str) -> str:
    """`script`, or what replaces an older table by it with all that is blocked."""
    present = nftrules.sets(netlink, table)
    if present in ({}, expected()):
        return script
    held: _Ends = {}
    for name, shape in present.items():
        held |= _read(netlink, table, name, shape)
    lines = "".join(f"{line}\n" for line in _elements(table, held))
    return f"delete table inet {table}\n{script}{lines}"


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
        if kind := HASHED.get((network.version, network.length)):
            address = str(Network(network.version, network.value, kind.bits))
            yield _line(table, kind, address, left)
    for version, kind in RANGED.items():
        prefixes = {n: left for n, left in held.items() if n.version == version}
        ranged = {n: left for n, left in prefixes.items() if (version, n.length) not in HASHED}
        for span in disjoint(ranged):
            yield _line(table, kind, _range(span, kind), span.until)


def _line(table: str, kind: Set, what: str, left: float | None) -> str:
    timeout = "" if left is None else f" timeout {max(1, round(left))}s"
    return f"add element inet {table} {kind.name} {{ {what}{timeout} }}"


def _range(span: Range, kind: Set) -> str:
    first, last = (Network(kind.version, value, kind.bits) for value in span[:2])
    return f"{first}-{last}" if first != last else str(first)
