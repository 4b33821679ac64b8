"""The table that the nftables back end keeps: its sets, and the script that makes them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from guard.firewall.groups import UNION, group_of_set
from guard.lib.networks import Network

Ports = Sequence[int] | None
TABLE = "guard"


class Set(NamedTuple):
    """One set; `length` is the prefix length of its keys, None for a set of ranges."""

    name: str
    version: int
    length: int | None

    @property
    def bits(self) -> int:
        """How long its keys are."""
        return 32 if self.version == 4 else 128

    @property
    def mask(self) -> str:
        """What an address is cut down with before it is looked up."""
        length = self.bits if self.length is None else self.length
        ones = (1 << self.bits) - (1 << self.bits - length)
        return str(Network(self.version, ones, self.bits))


# The lengths that jails and crowds ban have hash sets; each costs a packet one more look-up.
SETS = (
    Set("v4_addresses", 4, 32),
    Set("v4_subnets", 4, 24),
    Set("v6_addresses", 6, 128),
    Set("v6_subnets", 6, 64),
    Set("v6_sites", 6, 48),
    Set("v4_prefixes", 4, None),
    Set("v6_prefixes", 6, None),
)
_INNER = ("blocked", "everywhere", "feeds")
# A feed changes as a whole and seldom: addresses, and ranges for all else.
_OF_A_FEED = tuple(kind for kind in SETS if kind.length in (None, kind.bits))


def sets_of(group: str) -> tuple[Set, ...]:
    """The sets of one group of claims."""
    if not group:
        return SETS
    return tuple(kind._replace(name=f"{kind.name}_{group}") for kind in _OF_A_FEED)


@dataclass(frozen=True, slots=True)
class Layout:
    """What the table is made like. `ports` None is every port and protocol; else TCP ports.

    What the groups `everything` hold is dropped whatever the port. What comes in by one of
    `devices` is dropped before it gets as far as prerouting. The kernel cannot tell there what is
    `forwarded`, so that it is.
    """

    ports: Ports
    groups: tuple[str, ...] = ()
    forwarded: bool = False
    table: str = TABLE
    devices: tuple[str, ...] = ()
    everything: tuple[str, ...] = ()

    def chain(self, kind: Set) -> str:
        """The chain that looks packets up in a set."""
        return "everywhere" if group_of_set(kind.name) in self.everything else "blocked"

    @property
    def sets(self) -> list[Set]:
        """All of them, in the order that packets meet them."""
        return [kind for group in ("", *self.groups) for kind in sets_of(group)]


def script(layout: Layout, surplus: Iterable[str] = ()) -> str:
    """What `nft -f -` reads to make the table or to repair it; the sets keep their elements.

    Every set drops by itself here, those of the groups `surplus` too, which are not in the layout:
    what the sets hold may yet have to move.
    """
    kinds = [*layout.sets, *(kind for group in surplus for kind in sets_of(group))]
    lines = _made(layout, kinds)
    lines += [
        f"add rule inet {layout.table} {layout.chain(kind)} {_rule(layout, kind)}" for kind in kinds
    ]
    return "\n".join(lines) + "\n"


def settled(layout: Layout, surplus: Iterable[str] = ()) -> str:
    """The same when all is where it belongs: without `surplus`, and with the shortest way.

    Where one group has what all feeds list, only its packets are looked up in the others.
    """
    lines = _made(layout, layout.sets)
    table = f"inet {layout.table}"
    for kind in layout.sets:
        group = group_of_set(kind.name)
        if group == UNION:
            lines.append(f"add rule {table} blocked {_rule(layout, kind, 'goto feeds')}")
        elif group and UNION in layout.groups and group not in layout.everything:
            lines.append(f"add rule {table} feeds {_rule(layout, kind, local=False)}")
        else:
            lines.append(f"add rule {table} {layout.chain(kind)} {_rule(layout, kind)}")
    if UNION in layout.groups:
        lines.append(f"add rule {table} feeds drop")
    for group in surplus:
        for kind in sets_of(group):
            lines += [f"delete set {table} {kind.name}", f"delete counter {table} {kind.name}"]
    return "\n".join(lines) + "\n"


def _made(layout: Layout, kinds: Iterable[Set]) -> list[str]:
    """Table, counters, sets and the chains that lead to the rules."""
    table = f"inet {layout.table}"
    lines = [f"add table {table}"]
    for kind in kinds:
        flags = "timeout" if kind.length else "interval, timeout"
        spec = f"{{ type ipv{kind.version}_addr; flags {flags}; }}"
        lines += [f"add counter {table} {kind.name}", f"add set {table} {kind.name} {spec}"]
    return lines + _chains(layout)


def _chains(layout: Layout) -> list[str]:
    table = f"inet {layout.table}"
    return [
        # Before conntrack (-200): a dropped packet costs no connection entry.
        f"add chain {table} arrivals "
        "{ type filter hook prerouting priority -300; policy accept; }",
        *[f"add chain {table} {name}" for name in _INNER],
        *[f"flush chain {table} {name}" for name in ("arrivals", *_INNER)],
        *_ways(layout, "arrivals"),
        # Made anew each time: older kernels cannot change which devices a chain is hooked into.
        f"add chain {table} entrance",
        f"flush chain {table} entrance",
        f"delete chain {table} entrance",
        *_entrance(layout),
    ]


def _entrance(layout: Layout) -> list[str]:
    """What else is to drop, at the devices' own hook; prerouting stays for whatever passes."""
    if not layout.devices:
        return []
    table, devices = f"inet {layout.table}", ", ".join(f'"{name}"' for name in layout.devices)
    return [
        f"add chain {table} entrance "
        f"{{ type filter hook ingress devices = {{ {devices} }} priority -300; policy accept; }}",
        *_ways(layout, "entrance"),
    ]


def _ways(layout: Layout, chain: str) -> list[str]:
    """Where `chain` sends packets to be looked up."""
    rule, ports = f"add rule inet {layout.table} {chain}", layout.ports
    match = "" if ports is None else f"tcp dport {{ {', '.join(map(str, ports))} }} "
    ways = [f"{rule} {match}jump blocked"]
    return [*ways, f"{rule} jump everywhere"] if layout.everything else ways


def _rule(layout: Layout, kind: Set, verdict: str = "drop", *, local: bool = True) -> str:
    source = "ip saddr" if kind.version == 4 else "ip6 saddr"
    if kind.length not in (None, kind.bits):
        source += f" & {kind.mask}"
    # A port that Docker publishes is still addressed to this machine here, before DNAT.
    here = "fib daddr type local " if local and not layout.forwarded else ""
    return f'{source} @{kind.name} {here}counter name "{kind.name}" {verdict}'
