"""The ipsets of one group of claims: block, release, replace and read them.

Addresses in a hash:ip, prefixes in a hash:net, for each family. ipset has no transactions: a bulk
change is a second set, filled and then swapped, one at a time. Trusts whoever may write into sets
of our names.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from guard.events import Block
from guard.firewall import ipset
from guard.firewall.groups import LONGEST
from guard.firewall.intervals import live, outlasts
from guard.firewall.netlink import KernelError
from guard.lib.networks import Network
from guard.roles import Refused, Unavailable

PREFIX = "guard"
_BITS = {4: 32, 6: 128}
_TITLES = {"hash:ip": "addresses", "hash:net": "prefixes"}
_ENDINGS = {"hash:ip": "a", "hash:net": "p"}
_NAMED = re.compile(rf"_v([46])_([a-z0-9-]{{1,{LONGEST}}})_([ap])")


class Kind(NamedTuple):
    """One set: its name in the kernel, ipset's word for its type, and its name for the operator."""

    name: str
    type: str
    version: int
    title: str


def kinds_of(prefix: str, group: str, versions: Sequence[int]) -> list[Kind]:
    """The sets of a group, addresses before the prefixes of a family."""
    return [_kind(prefix, group, version, type_) for version in versions for type_ in _TITLES]


def parsed(prefix: str, name: str) -> Kind | None:
    """The set of a feed that has this name; None for any other name."""
    found = _NAMED.fullmatch(name.removeprefix(prefix)) if name.startswith(prefix) else None
    if found is None:
        return None
    type_ = next(type_ for type_, ending in _ENDINGS.items() if ending == found[3])
    return _kind(prefix, found[2], int(found[1]), type_)


def is_ours(prefix: str, name: str) -> bool:
    """Whether a Guard makes sets of this name."""
    plain = {kind.name for kind in kinds_of(prefix, "", (4, 6))}
    return name in plain or parsed(prefix, name) is not None


def _kind(prefix: str, group: str, version: int, type_: str) -> Kind:
    title = f"v{version}_{_TITLES[type_]}"
    if not group:
        return Kind(f"{prefix}_{title}", type_, version, title)
    name = f"{prefix}_v{version}_{group}_{_ENDINGS[type_]}"
    return Kind(name, type_, version, f"{title}_{group}")


class Link:
    """The way to the kernel's ipsets. `temporary` is a set of ours that never stays."""

    def __init__(self, prefix: str) -> None:
        self.prefix, self.temporary = prefix, f"{prefix}_new"
        self._sets: ipset.IPSets | None = None

    def open(self) -> None:
        """Makes the socket, in the network namespace of the calling thread."""
        if self._sets is None:
            self._sets = ipset.IPSets()

    def close(self) -> None:
        """Lets it go."""
        if self._sets is not None:
            self._sets.close()
            self._sets = None

    @property
    def sets(self) -> ipset.IPSets:
        """The sets. Raises Refused where there is no socket."""
        if self._sets is None:
            raise Refused("the iptables firewall is not open")
        return self._sets

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Says in the operator's words what the kernel refuses."""
        try:
            yield
        except KernelError as error:
            if error.code == errno.ENOENT:
                raise Unavailable("somebody destroyed an ipset of ours") from error
            raise Unavailable(f"ipset does not take the change: {error}") from error


class Group:
    """What the sets `kinds` hold."""

    def __init__(self, link: Link, kinds: Sequence[Kind]) -> None:
        self._link, self.kinds = link, kinds
        self._names = {(kind.version, kind.type): kind.name for kind in kinds}

    def make(self) -> None:
        """Makes the sets, unless they are there; takes over those of an older release."""
        for kind in self.kinds:
            try:
                self._link.sets.create(kind.name, kind.type, kind.version)
            except KernelError as error:
                if error.code != errno.EEXIST:
                    raise
                self._take_over(kind)

    def apply(self, block: Sequence[Block], release: Sequence[Network], now: float) -> None:
        """Releases, then blocks; a repeat renews the end."""
        wanted = live(block, now)
        gone = [network for network in (*release, *dict(block)) if network not in wanted]
        with self._link.explained():
            for name, networks in self._sorted(Block(network, None) for network in gone).items():
                self._link.sets.delete(name, (network for network, _ in networks))
            for name, blocks in self._sorted(map(Block._make, wanted.items())).items():
                self._link.sets.add(name, blocks, now)

    def replace(self, blocks: Iterable[Block], now: float) -> None:
        """Fills new sets and swaps them in, with no moment in which less is blocked."""
        wanted = self._sorted(b for b in blocks if b.until is None or b.until > now)
        with self._link.explained():
            for kind in self.kinds:
                if kind.type == "hash:net":
                    # Who moves from an address to a prefix must be in one of the two throughout.
                    self._link.sets.add(kind.name, wanted.get(kind.name, ()), now)
            for kind in self.kinds:
                self._renew(kind, wanted.get(kind.name, ()), now)

    def blocked(self, now: float) -> dict[Network, float | None]:
        """What the sets hold now."""
        with self._link.explained():
            found = {
                network: until
                for kind in self.kinds
                for network, until in self._link.sets.elements(kind.name, kind.version, now)
            }
        return rejoined(found)

    def _renew(self, kind: Kind, held: Sequence[Block], now: float) -> None:
        """Makes `held` all that a set holds."""
        sets, temporary = self._link.sets, self._link.temporary
        sets.destroy(temporary)
        sets.create(temporary, kind.type, kind.version, len(held))
        sets.add(temporary, held, now)
        sets.swap(kind.name, temporary)
        sets.destroy(temporary)

    def _take_over(self, kind: Kind) -> None:
        """A set with other bounds: its elements go into one of ours."""
        now = 1.0
        try:
            self._renew(kind, list(self._link.sets.elements(kind.name, kind.version, now)), now)
        except KernelError as error:
            refused = f"the ipset {kind.name} is there already, and not as Guard makes it"
            raise Refused(refused) from error
        finally:
            self._link.sets.destroy(self._link.temporary)

    def _sorted(self, blocks: Iterable[Block]) -> dict[str, list[Block]]:
        """`blocks` by the name of the set that holds them."""
        found: dict[str, list[Block]] = {}
        for block in blocks:
            version, _, length = block.network
            name = self._names.get((version, "hash:ip" if length == _BITS[version] else "hash:net"))
            if name is None:
                continue
            held = found.setdefault(name, [])
            if length:
                held.append(block)
            else:
                held += _halves(block)
        return found


def _halves(block: Block) -> list[Block]:
    """A hash:net holds no /0, but two /1."""
    version, _, _ = block.network
    half = Network(version, 0, 1)
    return [Block(half, block.until), Block(Network(version, half.last + 1, 1), block.until)]


def rejoined(found: dict[Network, float | None]) -> dict[Network, float | None]:
    """The two /1 of a family as the /0 that they were laid for, where they end together.

    The kernel tells whole seconds of each at another moment, so that one may be over between them.
    """
    for version in (4, 6):
        low, high = (half.network for half in _halves(Block(Network(version, 0, 0), None)))
        if low not in found or high not in found:
            continue
        one, other = found[low], found[high]
        if not (outlasts(one, other) or outlasts(other, one)):
            found[Network(version, 0, 0)] = one if one is None or other is None else min(one, other)
            del found[low], found[high]
    return found
