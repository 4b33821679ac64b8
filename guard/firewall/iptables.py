"""iptables with ipset: a chain in the raw table that drops whom two sets per family name.

Addresses are kept in a hash:ip, prefixes in a hash:net. The chain is laid with python-iptables
(see xtables.py); bans are one netlink message to an ipset. ipset has no transactions: a bulk
change is a second set, filled and then swapped. A block of more than 24.8 days is laid for 24.8
days, which is all that ipset can count, and has to be laid again before they are over: `longest`
says so to the mirror. A block for ever has no such limit.

Trusts whoever may write into the chain GUARD and the sets guard_*. Needs CAP_NET_ADMIN and, for
the chain, CAP_NET_RAW.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from guard.events import Block
from guard.firewall import ipset
from guard.firewall.intervals import live
from guard.firewall.netlink import KernelError
from guard.firewall.xtables import CHAIN, Legacy, Nft, Rules, passing
from guard.lib.networks import Network
from guard.roles import Refused, Unavailable

_TEMPORARY = "_new"
_BITS = {4: 32, 6: 128}
_KINDS = {"hash:ip": "addresses", "hash:net": "prefixes"}
_IPV6 = Path("/proc/thread-self/net/if_inet6")


class IPTables:
    """iptables and ipset. `ports` None is every port and protocol; else TCP ports."""

    name = "iptables"
    longest: float = ipset.CEILING

    def __init__(
        self,
        ports: Sequence[int] | None,
        *,
        forwarded: bool = False,
        rules: Rules | None = None,
        prefix: str = "guard",
    ) -> None:
        """`rules` None is python-iptables where the kernel has its tables, else iptables-nft."""
        self._ports, self._forwarded, self._prefix = ports, forwarded, prefix
        self._chosen = rules
        self._opened: ipset.IPSets | None = None
        # A machine may be without IPv6, and then without its tables.
        self._versions = (4, 6) if _IPV6.exists() else (4,)

    def open(self) -> None:
        """Makes sets, chain and jump, or repairs them. The sets keep what they hold."""
        rules = self._chosen or self._choose()
        if self._opened is None:
            self._opened = ipset.IPSets()
        with self._explained():
            for name, kind, version in self._layout():
                self._make(name, kind, version)
        for version in self._versions:
            names = [name for name, _, each in self._layout() if each == version]
            rules.install(version, names, self._ports, forwarded=self._forwarded)
        self._chosen = rules

    def faults(self) -> list[str]:
        """What somebody removed of the chains. (A set that rules name cannot be destroyed.)"""
        rules, found = self._rules, []
        for version in self._versions:
            names = [name for name, _, each in self._layout() if each == version]
            if CHAIN not in rules.rules(version):
                found.append(f"somebody removed the jump to {CHAIN} (IPv{version})")
            if rules.sets(version) != names:
                found.append(f"somebody changed the chain {CHAIN} (IPv{version})")
        return found

    def warnings(self) -> list[str]:
        """Rules ahead of ours that may let a blocked packet pass."""
        return [
            f"a rule ahead of {CHAIN} may let packets of banned hosts pass ({target}); "
            f"see {self._rules.program(version)} -t raw -S PREROUTING"
            for version in self._versions
            for target in passing(self._rules.rules(version))
        ]

    def dropped(self) -> dict[str, tuple[int, int]]:
        """(packets, bytes) that each set dropped since Guard started."""
        found: dict[str, tuple[int, int]] = {}
        for version in self._versions:
            found |= self._rules.counters(version)
        return {name.removeprefix(f"{self._prefix}_"): count for name, count in found.items()}

    def apply(self, block: Sequence[Block], release: Sequence[Network], now: float) -> None:
        """Releases, then blocks; a repeat renews the end."""
        wanted = live(block, now)
        gone = [network for network in (*release, *dict(block)) if network not in wanted]
        with self._explained():
            for name, networks in self._sorted(Block(network, None) for network in gone).items():
                self._sets.delete(name, (network for network, _ in networks))
            for name, blocks in self._sorted(map(Block._make, wanted.items())).items():
                self._sets.add(name, blocks, now)

    def replace(self, blocks: Iterable[Block], now: float) -> None:
        """Fills new sets and swaps them in, with no moment in which less is blocked."""
        wanted = self._sorted(b for b in blocks if b.until is None or b.until > now)
        with self._explained():
            for name, kind, version in self._layout():
                held = wanted.get(name, [])
                if kind == "hash:net":
                    # Who moves from an address to a prefix must be in one of the two throughout.
                    self._sets.add(name, held, now)
                self._sets.destroy(name + _TEMPORARY)
                self._sets.create(name + _TEMPORARY, kind, version, len(held))
                self._sets.add(name + _TEMPORARY, held, now)
            for name, _, _ in self._layout():
                self._sets.swap(name, name + _TEMPORARY)
                self._sets.destroy(name + _TEMPORARY)

    def blocked(self, now: float) -> dict[Network, float | None]:
        """What the sets hold now."""
        with self._explained():
            found = {
                network: until
                for name, _, version in self._layout()
                for network, until in self._sets.elements(name, version, now)
            }
        return _rejoined(found)

    def close(self, *, clear: bool = False) -> None:
        """Lets go of the socket; `clear` removes chain, jump and sets."""
        if clear:
            self._clear()
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    @property
    def _sets(self) -> ipset.IPSets:
        if self._opened is None:
            raise Refused("the iptables firewall is not open")
        return self._opened

    @property
    def _rules(self) -> Rules:
        if self._chosen is None:
            raise Refused("the iptables firewall is not open")
        return self._chosen

    def _layout(self) -> Iterator[tuple[str, str, int]]:
        """(name, kind, version) of every set, addresses before the prefixes of a family."""
        for version in self._versions:
            for kind, what in _KINDS.items():
                yield f"{self._prefix}_v{version}_{what}", kind, version

    def _make(self, name: str, kind: str, version: int) -> None:
        try:
            self._sets.create(name, kind, version)
        except KernelError as error:
            if error.code != errno.EEXIST:
                raise
        else:
            return
        # Made by an older release, with other bounds: its elements go into one of ours.
        try:
            now = 1.0
            held = list(self._sets.elements(name, version, now))
            self._sets.destroy(name + _TEMPORARY)
            self._sets.create(name + _TEMPORARY, kind, version, len(held) + 1)
            self._sets.add(name + _TEMPORARY, held, now)
            self._sets.swap(name, name + _TEMPORARY)
        except KernelError as error:
            refused = f"the ipset {name} is there already, and not as Guard makes it"
            raise Refused(refused) from error
        finally:
            self._sets.destroy(name + _TEMPORARY)

    def _choose(self) -> Rules:
        legacy = Legacy()
        try:
            legacy.rules(4)
        except Refused:
            return Nft()
        return legacy

    def _sorted(self, blocks: Iterable[Block]) -> dict[str, list[Block]]:
        """`blocks` by the name of the set that holds them."""
        names = {(version, kind): name for name, kind, version in self._layout()}
        found: dict[str, list[Block]] = {}
        for block in blocks:
            version, _, length = block.network
            if version not in self._versions:
                continue
            kind = "hash:ip" if length == _BITS[version] else "hash:net"
            held = found.setdefault(names[version, kind], [])
            if length:
                held.append(block)
            else:
                held += _halves(block)
        return found

    def _clear(self) -> None:
        rules = self._chosen or self._choose()
        for version in self._versions:
            rules.remove(version)
        sets = self._opened or ipset.IPSets()
        for name, _, _ in self._layout():
            sets.destroy(name + _TEMPORARY)
            sets.destroy(name)
        sets.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except KernelError as error:
            if error.code == errno.ENOENT:
                raise Unavailable("somebody destroyed an ipset of ours") from error
            raise Unavailable(f"ipset does not take the change: {error}") from error


def _halves(block: Block) -> list[Block]:
    """A hash:net holds no /0, but two /1."""
    version, _, _ = block.network
    half = Network(version, 0, 1)
    return [Block(half, block.until), Block(Network(version, half.last + 1, 1), block.until)]


def _rejoined(found: dict[Network, float | None]) -> dict[Network, float | None]:
    for version in (4, 6):
        low, high = (half.network for half in _halves(Block(Network(version, 0, 0), None)))
        if low in found and high in found and found[low] == found[high]:
            found[Network(version, 0, 0)] = found.pop(low)
            del found[high]
    return found
