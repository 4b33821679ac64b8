"""The table that the nftables back end keeps: its sets, and the script that makes them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

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
HASHED = {(kind.version, kind.length): kind for kind in SETS if kind.length is not None}
RANGED = {kind.version: kind for kind in SETS if kind.length is None}


def script(ports: Ports, *, forwarded: bool, table: str = TABLE) -> str:
    """What `nft -f -` reads to make the table or to repair it; the sets keep their elements."""
    lines = [f"add table inet {table}"]
    for kind in SETS:
        flags = "timeout" if kind.length else "interval, timeout"
        spec = f"{{ type ipv{kind.version}_addr; flags {flags}; }}"
        lines += [
            f"add counter inet {table} {kind.name}",
            f"add set inet {table} {kind.name} {spec}",
        ]
    lines += [
        # Before conntrack (-200): a dropped packet costs no connection entry.
        f"add chain inet {table} arrivals "
        "{ type filter hook prerouting priority -300; policy accept; }",
        f"add chain inet {table} blocked",
        f"flush chain inet {table} arrivals",
        f"flush chain inet {table} blocked",
    ]
    match = "" if ports is None else f"tcp dport {{ {', '.join(map(str, ports))} }} "
    lines.append(f"add rule inet {table} arrivals {match}jump blocked")
    # A port that Docker publishes is still addressed to this machine here, before DNAT.
    local = "" if forwarded else "fib daddr type local "
    for kind in SETS:
        source = "ip saddr" if kind.version == 4 else "ip6 saddr"
        if kind.length not in (None, kind.bits):
            source += f" & {kind.mask}"
        lines.append(
            f"add rule inet {table} blocked {source} @{kind.name} {local}"
            f'counter name "{kind.name}" drop'
        )
    return "\n".join(lines) + "\n"
