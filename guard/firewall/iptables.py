"""iptables with ipset: a chain in the raw table that drops whom two sets per family name.

Addresses are kept in a hash:ip, prefixes in a hash:net, those of each feed in a pair of its own.
The chain is laid with python-iptables (see xtables.py); bans are one netlink message to an ipset.
ipset has no transactions: a bulk change is a second set, filled and then swapped. A block of more
than 24.8 days is laid for 24.8 days, which is all that ipset can count, and has to be laid again
before they are over: `longest` says so to the mirror. A block for ever has no such limit.

Trusts whoever may write into the chain GUARD and the sets guard_*. Needs CAP_NET_ADMIN and, for
the chain, CAP_NET_RAW.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from guard.events import Block
from guard.firewall import ipset
from guard.firewall.chains import CHAIN, Plan, Step, entries, laid, passing
from guard.firewall.groups import NO_GROUPS, UNION, Groups
from guard.firewall.ipsetgroup import PREFIX, Group, Kind, Link, kinds_of, parsed
from guard.firewall.xtables import Legacy, Nft, Rules
from guard.lib.networks import Network
from guard.roles import Refused

_IPV6 = Path("/proc/thread-self/net/if_inet6")


class IPTables:
    """iptables and ipset. `ports` None is every port and protocol; else TCP ports."""

    name = "iptables"
    longest: float = ipset.CEILING
    # firewalld flushes the rules of everybody whenever it reloads. A look costs 0.1 ms, or 5.
    glance = 2.0

    def __init__(
        self,
        ports: Sequence[int] | None,
        *,
        forwarded: bool = False,
        rules: Rules | None = None,
        prefix: str = PREFIX,
        groups: Groups = NO_GROUPS,
    ) -> None:
        """`rules` None is python-iptables where the kernel has its tables, else iptables-nft."""
        self._ports, self._forwarded = ports, forwarded
        self._chosen = rules
        self._link = Link(prefix)
        # A machine may be without IPv6, and then without its tables.
        self._versions = (4, 6) if _IPV6.exists() else (4,)
        self.groups, self._everything = groups
        self._groups = {
            name: Group(self._link, kinds_of(prefix, name, self._versions))
            for name in ("", *self.groups)
        }
        self._surplus: list[Kind] = []
        self._settled = False
        # Our jumps and our rules as they were when they were laid, by family.
        self._laid: dict[int, tuple[list[Step], list[Step]]] = {}

    @property
    def shown_by(self) -> str:
        """The program that shows an operator the rules: which of both make-ups this is."""
        return self._rules.program(4)

    def open(self) -> None:
        """Makes sets, chain and jump, or repairs them. The sets keep what they hold."""
        rules = self._chosen or self._choose()
        self._link.open()
        with self._link.explained():
            for group in self._groups.values():
                group.make()
            self._surplus = self._others()
        self._settled = False
        self._install(rules)
        self._chosen = rules

    def tidy(self) -> None:
        """Removes the sets of groups that there are no longer, and takes the shortest way."""
        with self._link.explained():
            gone, self._surplus, self._settled = self._surplus, [], True
            if gone or UNION in self.groups:
                self._install(self._rules)
            for kind in gone:
                self._link.sets.destroy(kind.name)

    def group(self, name: str) -> Group:
        """The sets of the group `name`."""
        return self._groups[name]

    def faults(self) -> list[str]:
        """What somebody changed of the chains. (A set that rules name cannot be destroyed.)"""
        found = []
        for version in self._versions:
            chains = self._rules.chains(version)
            jumps, rules = self._laid.get(version, ([], []))
            now = entries(chains)
            if now != jumps:
                what = "changed" if now else "removed"
                found.append(f"somebody {what} the jump to {CHAIN} (IPv{version})")
            if laid(chains) != rules:
                found.append(f"somebody changed the chain {CHAIN} (IPv{version})")
        return found

    def warnings(self) -> list[str]:
        """Rules ahead of ours that may let a blocked packet pass."""
        return [
            f"a rule ahead of {CHAIN} may let packets of banned hosts pass ({said}); "
            f"see {self._rules.program(version)} -t raw -S"
            for version in self._versions
            for said in passing(self._rules.chains(version))
        ]

    def dropped(self) -> dict[str, tuple[int, int]]:
        """(packets, bytes) that each set dropped since Guard started."""
        found: dict[str, tuple[int, int]] = {}
        for version in self._versions:
            found |= self._rules.counters(version)
        titles = {kind.name: kind.title for kind in [*self._kinds(), *self._surplus]}
        return {titles.get(name, name): count for name, count in found.items() if name}

    def apply(self, block: Sequence[Block], release: Sequence[Network], now: float) -> None:
        """Releases, then blocks; a repeat renews the end."""
        self._groups[""].apply(block, release, now)

    def replace(self, blocks: Iterable[Block], now: float) -> None:
        """Fills new sets and swaps them in, with no moment in which less is blocked."""
        self._groups[""].replace(blocks, now)

    def blocked(self, now: float) -> dict[Network, float | None]:
        """What the sets hold now, those of groups left out."""
        return self._groups[""].blocked(now)

    def close(self, *, clear: bool = False) -> None:
        """Lets go of the socket; `clear` removes chain, jump and sets."""
        if clear:
            self._clear()
        self._link.close()

    @property
    def _rules(self) -> Rules:
        if self._chosen is None:
            raise Refused("the iptables firewall is not open")
        return self._chosen

    def _kinds(self) -> list[Kind]:
        return [kind for group in self._groups.values() for kind in group.kinds]

    def _plan(self, version: int) -> Plan:
        """What the chains drop. Until all is where it belongs each set drops by itself."""

        def names(*groups: str) -> list[str]:
            kinds = [kind for group in groups for kind in self._groups[group].kinds]
            return [kind.name for kind in kinds if kind.version == version]

        drop = ["", *(group for group in self.groups if group not in self._everything)]
        others = [kind.name for kind in self._surplus if kind.version == version]
        plan = Plan(
            [*names(*drop), *others],
            everywhere=names(*self._everything),
            forwarded=self._forwarded,
        )
        if self._settled and UNION in self.groups:
            feeds = [group for group in drop if group not in ("", UNION)]
            return plan._replace(drop=names(""), listed=names(UNION), behind=names(*feeds))
        return plan

    def _others(self) -> list[Kind]:
        """Sets that some group has left, and none of ours has."""
        prefix, ours = self._link.prefix, {kind.name for kind in self._kinds()}
        found = [parsed(prefix, name) for name in self._link.sets.names() if name not in ours]
        return [kind for kind in found if kind is not None and kind.version in self._versions]

    def _install(self, rules: Rules) -> None:
        for version in self._versions:
            rules.install(version, self._plan(version), self._ports)
            chains = rules.chains(version)
            self._laid[version] = entries(chains), laid(chains)

    def _choose(self) -> Rules:
        legacy = Legacy()
        try:
            legacy.chains(4)
        except Refused:
            return Nft()
        return legacy

    def _clear(self) -> None:
        rules = self._chosen or self._choose()
        for version in self._versions:
            rules.remove(version)
        self._link.open()
        for kind in [*self._kinds(), *self._others()]:
            self._link.sets.destroy(kind.name)
        self._link.sets.destroy(self._link.temporary)
