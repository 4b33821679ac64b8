"""nftables: one table of our own, sets with a timeout per element, dropped before conntrack.

What jails ban (addresses, IPv4 /24s, IPv6 /64s and /48s) is kept in hash sets: one more costs the
same at ten as at a million. Each feed has sets of its own, whose counters tell what it dropped. The
`nft` program makes the table; bans and releases go over netlink in this process (nftgroup.py).

Trusts whoever may write into the table `inet guard`. Touches no other table. Needs CAP_NET_ADMIN.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from dataclasses import replace

from guard.events import Block
from guard.firewall import commands, nftrules
from guard.firewall.groups import NO_GROUPS, UNION, Groups
from guard.firewall.netlink import KernelError
from guard.firewall.nftgroup import Group, Link
from guard.firewall.nftlayout import TABLE, Layout, Ports, sets_of, settled
from guard.firewall.nftupgrade import surplus, upgrade
from guard.lib.networks import Network
from guard.roles import Refused


class NFTables:
    """The kernel's nftables. `ports` None is every port and protocol; else TCP ports."""

    name = "nftables"

    def __init__(
        self,
        ports: Ports,
        *,
        forwarded: bool = False,
        table: str = TABLE,
        groups: Groups = NO_GROUPS,
        devices: Sequence[str] = (),
    ) -> None:
        """`forwarded` drops what this machine would pass on to others too.

        What comes in by `devices` is dropped at their own hook, which asks for `forwarded`.
        """
        self.groups, self._devices = groups.names, tuple(devices)
        self._layout = Layout(ports, self.groups, forwarded, table, everything=groups.everything)
        self._link = Link(table)
        self._groups = {name: Group(self._link, sets_of(name)) for name in ("", *self.groups)}
        self._shape: nftrules.Shape = {}

    def open(self) -> None:
        """Makes table, sets and rules, or repairs them. The sets keep what they hold."""
        self._link.open()
        self._layout = replace(self._layout, devices=self._present())
        try:
            nftrules.generation(self._link.netlink)
            laid, anew = upgrade(self._link.netlink, self._layout)
        except KernelError as error:
            raise Refused(f"this kernel has no nf_tables: {error}") from error
        self._lay(laid)
        if anew:
            for group in self._groups.values():
                group.forget()
        self._look()

    def tidy(self) -> None:
        """Removes the sets of groups that there are no longer, and takes the shortest way."""
        with self._link.explained():
            gone = surplus(self._link.netlink, self._layout)
        if gone or UNION in self.groups:
            self._lay(settled(self._layout, gone))
            self._look()

    def group(self, name: str) -> Group:
        """The sets of the group `name`."""
        return self._groups[name]

    def faults(self) -> list[str]:
        """What somebody removed or changed of the table since it was made."""
        with self._link.explained():
            now = nftrules.shape(self._link.netlink, self._layout.table)
            found = nftrules.compare(self._shape, now)
        new = set(self._present()) - set(self._layout.devices)
        return found + [f"the device {name} is back" for name in sorted(new)]

    def warnings(self) -> list[str]:
        """Devices that are not there.

        An accepting rule of another table is none: it ends that table's work, not ours.
        """
        gone = set(self._devices) - set(self._present())
        return [
            f"there is no device {name}: what comes in by it later is dropped at prerouting first"
            for name in sorted(gone)
        ]

    def disturbed(self) -> bool:
        """Whether another program changed nftables since this was last asked."""
        link = self._link
        with link.explained():
            expected, link.generation = link.generation, nftrules.generation(link.netlink)
        return link.generation != expected

    def dropped(self) -> dict[str, tuple[int, int]]:
        """(packets, bytes) that each set dropped since the table was made."""
        with self._link.explained():
            return nftrules.dropped(self._link.netlink, self._layout.table)

    def apply(self, block: Sequence[Block], release: Sequence[Network], now: float) -> None:
        """Blocks and releases in one transaction; all of it or nothing."""
        self._groups[""].apply(block, release, now)

    def block_hosts(self, keys: bytes, until: Sequence[float], now: float) -> bool:
        """As `apply` of IPv4 addresses; whether it could be done so."""
        return self._groups[""].block_hosts(keys, until, now)

    def replace(self, blocks: Iterable[Block], now: float) -> None:
        """Makes `blocks` all that is blocked outside of groups, in one transaction."""
        self._groups[""].replace(blocks, now)

    def blocked(self, now: float) -> dict[Network, float | None]:
        """What the kernel's sets hold now, those of groups left out."""
        return self._groups[""].blocked(now)

    def close(self, *, clear: bool = False) -> None:
        """Lets go of the socket; `clear` removes the table."""
        if clear:
            table = self._layout.table
            commands.run(["nft", "-f", "-"], f"add table inet {table}\ndelete table inet {table}\n")
        self._link.close()
        for group in self._groups.values():
            group.forget()

    def _lay(self, laid: str) -> None:
        try:
            commands.run(["nft", "-f", "-"], laid, package="nftables")
        except Refused as error:
            if "fib daddr" not in str(error):
                raise
            raise Refused(
                "this kernel's nftables cannot tell what is addressed to this machine: "
                "load its module nft_fib_inet, or set forwarded = true"
            ) from error

    def _present(self) -> tuple[str, ...]:
        """The devices that are there."""
        if not self._devices:
            return ()
        names = {name for _, name in socket.if_nameindex()}
        return tuple(name for name in self._devices if name in names)

    def _look(self) -> None:
        """Remembers what the table is made of now."""
        with self._link.explained():
            self._shape = nftrules.shape(self._link.netlink, self._layout.table)
            self._link.generation = nftrules.generation(self._link.netlink)
