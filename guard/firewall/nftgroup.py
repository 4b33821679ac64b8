"""The sets of one group of claims in an nftables table: block, release, replace and read them.

Hash sets for addresses and for the prefixes that jails ban; all other prefixes share an interval
set per family, whose every change costs the kernel a walk over all of it, so that it is rewritten
whole and stays exact. Trusts whoever may write into the table.
"""

from __future__ import annotations

import errno
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from struct import unpack

from guard.events import Block
from guard.firewall import nftrules, nftsets
from guard.firewall.intervals import Range, blocks_of, disjoint, live, read_back
from guard.firewall.netlink import CREATE, KernelError, Netlink
from guard.firewall.nftlayout import Set
from guard.lib.networks import Network
from guard.roles import Refused, Unavailable

_CHUNK = 2000
_READINGS = 10
_Ends = dict[Network, float | None]
_Pairs = dict[Set, list[tuple[bytes, int]]]


def renews(release: str) -> bool:
    """Whether adding an element that is there gives it a new end: from Linux 6.12 on."""
    found = re.match(r"(\d+)\.(\d+)", release)
    return found is not None and (int(found[1]), int(found[2])) >= (6, 12)


class Link:
    """The way to the kernel's table, and how many transactions the kernel should have seen."""

    def __init__(self, table: str) -> None:
        self.table, self.generation = table, -1
        self.renews = renews(os.uname().release)
        self._netlink: Netlink | None = None
        self._singles: dict[tuple[Set, bool], nftsets.Single] = {}

    def open(self) -> None:
        """Makes the socket, in the network namespace of the calling thread."""
        if self._netlink is None:
            self._netlink = Netlink()

    def close(self) -> None:
        """Lets it go."""
        if self._netlink is not None:
            self._netlink.close()
            self._netlink = None

    @property
    def netlink(self) -> Netlink:
        """The socket. Raises Refused where there is none."""
        if self._netlink is None:
            raise Refused("the nftables firewall is not open")
        return self._netlink

    def send(self, messages: Iterable[bytes]) -> None:
        """Carries out all of `messages`, or none."""
        before = nftrules.generation(self.netlink)
        changed = self.netlink.transact(nftsets.SUBSYSTEM, messages)
        # The kernel does not count what changes nothing, as to empty an empty set.
        if changed and nftrules.generation(self.netlink) != before:
            self.generation = self.generation + 1 & 0xFFFFFFFF

    def add(self, messages: Iterable[bytes]) -> None:
        """As `send`, of elements that end: each is new, or ends anew, and that is a change."""
        if self.netlink.transact(nftsets.SUBSYSTEM, messages):
            self.generation = self.generation + 1 & 0xFFFFFFFF

    def send_one(self, kind: Set, key: bytes, left: int) -> None:
        """Adds one element to a hash set, as `send` would, at half the cost."""
        single = self._singles.get((kind, left > 0))
        if single is None:
            single = nftsets.Single(self.table, kind.name, kind.bits // 8, timed=left > 0)
            self._singles[kind, left > 0] = single
        try:
            self.netlink.transact_again(single.fill(key, left))
        except KernelError as error:
            raise self._explain(error) from error
        self.generation = self.generation + 1 & 0xFFFFFFFF

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Says in the operator's words what the kernel refuses."""
        try:
            yield
        except KernelError as error:
            raise self._explain(error) from error

    def _explain(self, error: KernelError) -> Unavailable:
        if error.code == errno.ENOENT:
            return Unavailable(f"somebody removed the table inet {self.table}, or a set of it")
        return Unavailable(f"nftables does not take the change: {error}")


class Group:
    """What the sets `kinds` hold."""

    def __init__(self, link: Link, kinds: Iterable[Set]) -> None:
        self._link, self._table = link, link.table
        both = list(kinds)
        self._hashes = {(k.version, k.length): k for k in both if k.length is not None}
        self._ranges = {k.version: k for k in both if k.length is None}
        # What the interval sets were told to hold; they cannot be asked for nested blocks.
        self._prefixes: _Ends | None = None
        # The families whose interval set held something else when it was last read.
        self._strange: set[int] = set()

    def forget(self) -> None:
        """The table was made anew, or may have been: what the sets hold is to be read."""
        self._prefixes = None

    def apply(self, block: Sequence[Block], release: Sequence[Network], now: float) -> None:
        """Blocks and releases in one transaction; all of it or nothing."""
        if not release and self._prefixes is not None and self._link.renews:
            if len(block) == 1 and self._apply_one(*block[0], now):
                return
            pairs = self._single_elements(block, now)
            if pairs is not None:
                with self._link.explained():
                    self._link.send(self._added(pairs))
                return
        wanted = live(block, now)
        gone = {network for network in release if network not in wanted}
        if len(wanted) < len(block):
            gone.update(network for network, _ in block if network not in wanted)
        with self._link.explained():
            prefixes = self._known(now)
            if {(version, length) for version, _, length in (*wanted, *gone)} - self._hashes.keys():
                prefixes = self._changed(prefixes, wanted, gone, now)
            self._link.send(self._changes(wanted, gone, prefixes, now))
        self._prefixes, self._strange = prefixes, set()

    def block_hosts(self, keys: bytes, until: Sequence[float], now: float) -> bool:
        """As `apply` of blocks; whether it could be done so. `keys` has four bytes of each."""
        kind, left = self._hashes.get((4, 32)), nftsets.all_milliseconds(until, now)
        each = len(set(unpack(f"{len(until)}I", keys))) == len(until)
        if kind is None or left is None or not (each and self._link.renews):
            return False
        with self._link.explained():
            self._link.add(nftsets.add_hosts(self._table, kind.name, keys, left))
        return True

    def _apply_one(self, network: Network, until: float | None, now: float) -> bool:
        """Blocks one address, where that is one element and no more; whether it was."""
        version, value, length = network
        kind = self._hashes.get((version, length))
        if kind is None:
            return False
        # What is there for ever already changes nothing, which has to be told from a change.
        left = 0 if until is None or until <= now else nftsets.milliseconds(until, now)
        if not left:
            return False
        self._link.send_one(kind, value.to_bytes(4 if version == 4 else 16, "big"), left)
        return True

    def _single_elements(self, block: Sequence[Block], now: float) -> _Pairs | None:
        """`block` by set, where each is one element of a hash set and nothing is to be undone."""
        if len({network for network, _ in block}) < len(block):
            return None
        pairs: _Pairs = defaultdict(list)
        hashes, milliseconds = self._hashes, nftsets.milliseconds
        for (version, value, length), until in block:
            kind = hashes.get((version, length))
            if kind is None or (until is not None and until <= now):
                return None
            key = value.to_bytes(4 if version == 4 else 16, "big")
            pairs[kind].append((key, milliseconds(until, now)))
        return pairs

    def _added(self, pairs: _Pairs) -> Iterator[bytes]:
        for kind, elements in pairs.items():
            yield from self._add(kind, elements, renew=self._link.renews)

    def replace(self, blocks: Iterable[Block], now: float) -> None:
        """Makes `blocks` all that the sets hold, in one transaction."""
        prefixes: _Ends = {}
        messages = [nftsets.flush(self._table, kind.name) for kind in self._hashes.values()]
        pairs: _Pairs = defaultdict(list)
        for network, until in blocks:
            if until is not None and until <= now:
                continue
            version, value, length = network
            kind = self._hashes.get((version, length))
            if kind is None:
                prefixes[network] = until
                continue
            key = value.to_bytes(4 if version == 4 else 16, "big")
            pairs[kind].append((key, nftsets.milliseconds(until, now)))
            if len(pairs[kind]) == _CHUNK:
                messages += self._add(kind, pairs.pop(kind))
        for kind, rest in pairs.items():
            messages += self._add(kind, rest)
        for version in self._ranges:
            messages += self._fill(version, prefixes, now)
        with self._link.explained():
            self._link.send(messages)
        self._prefixes = prefixes

    def blocked(self, now: float) -> _Ends:
        """What the kernel's sets hold now."""
        found: _Ends = {}
        with self._link.explained():
            sizes = nftrules.sizes(self._link.netlink, self._table)
            for (version, length), kind in self._hashes.items():
                for key, left in self._hashed(kind, sizes.get(kind.name)).items():
                    network = Network(version, int.from_bytes(key, "big"), length)
                    found[network] = None if left is None else now + left / 1000
            known = self._changed(self._known(now), {}, set(), now)
            for version in self._ranges:
                held = {net: until for net, until in known.items() if net.version == version}
                present = read_back(self._spans(version, now), held, version)
                if not present.keys() <= held.keys():
                    # Of any length: a release of it would look for it in the hash sets.
                    self._strange.add(version)
                found |= present
        return found

    def _is_hashed(self, network: Network) -> bool:
        return (network.version, network.length) in self._hashes

    def _known(self, now: float) -> _Ends:
        """The prefixes laid so far; at first, those that an earlier process left."""
        if self._prefixes is None:
            self._prefixes = {
                network: span.until
                for version in self._ranges
                for span in self._spans(version, now)
                for network in blocks_of(span, version)
            }
        return self._prefixes

    def _changed(
        self, before: Mapping[Network, float | None], wanted: _Ends, gone: set[Network], now: float
    ) -> _Ends:
        """The prefixes of `before` that are still live, with `wanted` and without `gone`."""
        after = {
            network: until
            for network, until in before.items()
            if network not in gone and (until is None or until > now)
        }
        after |= {net: until for net, until in wanted.items() if not self._is_hashed(net)}
        return after

    def _changes(
        self, wanted: _Ends, gone: set[Network], prefixes: _Ends, now: float
    ) -> Iterator[bytes]:
        """Messages for one transaction."""
        released: _Pairs = defaultdict(list)
        blocked: _Pairs = defaultdict(list)
        ranged = set(self._strange)
        hashes, renews = self._hashes, self._link.renews
        for network in (*gone, *wanted):
            version, value, length = network
            kind = hashes.get((version, length))
            if kind is None:
                ranged.add(version)
                continue
            key = value.to_bytes(4 if version == 4 else 16, "big")
            stays = network in wanted
            if stays:
                blocked[kind].append((key, nftsets.milliseconds(wanted[network], now)))
            if not (stays and renews):
                released[kind].append((key, 0))
        for kind, pairs in released.items():
            # Deleting what is not there fails, and before Linux 6.12 adding does not renew an end.
            # What was added can be deleted; all three in one transaction cost half as much again
            # as one. (Letting the kernel refuse a repeat costs an abort: 18 ms.)
            yield from self._add(kind, pairs)
            yield from self._elements(nftsets.DELETE_ELEMENTS, kind, pairs, 0)
        yield from self._added(blocked)
        for version in ranged:
            yield from self._fill(version, prefixes, now)

    def _add(
        self, kind: Set, pairs: Sequence[tuple[bytes, int]], *, renew: bool = False
    ) -> Iterator[bytes]:
        return self._elements(nftsets.NEW_ELEMENTS, kind, pairs, CREATE, renew=renew)

    def _elements(
        self,
        command: int,
        kind: Set,
        pairs: Sequence[tuple[bytes, int]],
        flags: int,
        *,
        renew: bool = False,
    ) -> Iterator[bytes]:
        elements = nftsets.keys(pairs, kind.bits // 8, renew=renew)
        return nftsets.change(command, flags, self._table, kind.name, elements)

    def _fill(self, version: int, prefixes: _Ends, now: float) -> Iterator[bytes]:
        """Messages that rewrite the interval set of one family."""
        kind = self._ranges[version]
        held = {net: until for net, until in prefixes.items() if net.version == version}
        elements = nftsets.ranges(disjoint(held), kind.bits, now)
        yield nftsets.flush(self._table, kind.name)
        yield from nftsets.change(nftsets.NEW_ELEMENTS, CREATE, self._table, kind.name, elements)

    def _read(self, kind: Set) -> Iterator[tuple[bytes, int | None, bool]]:
        return nftsets.parse(self._link.netlink.dump(nftsets.listing(self._table, kind.name)))

    def _hashed(self, kind: Set, size: int | None) -> dict[bytes, int | None]:
        """The elements of a hash set, each with its milliseconds.

        While the kernel grows the set, as it does for a while after a bulk load, a listing leaves
        some out. So it is read until it is whole, or until another reading finds nothing new.
        """
        found: dict[bytes, int | None] = {}
        for _ in range(_READINGS):
            before = len(found)
            found.update((key, left) for key, left, _ in self._read(kind))
            if len(found) == before or (size is not None and len(found) >= size):
                break
        return found

    def _spans(self, version: int, now: float) -> list[Range]:
        kind = self._ranges[version]
        return nftsets.spans(self._read(kind), kind.bits, now)
