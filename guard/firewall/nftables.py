"""nftables: one table of our own, sets with a timeout per element, dropped before conntrack.

What jails ban (addresses, IPv4 /24s, IPv6 /64s and /48s) is kept in hash sets: one more costs the
same at ten as at a million. Other prefixes share an interval set per family, whose every change
costs the kernel a walk over all of it, so that it is rewritten whole and stays exact. The `nft`
program makes the table; bans and releases go over netlink in this process.

Trusts whoever may write into the table `inet guard`. Touches no other table. Needs CAP_NET_ADMIN.
"""

from __future__ import annotations

import errno
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from guard.events import Block
from guard.firewall import commands, nftrules, nftsets
from guard.firewall.intervals import Range, blocks_of, disjoint, live, read_back
from guard.firewall.netlink import CREATE, KernelError, Netlink
from guard.firewall.nftlayout import HASHED, RANGED, TABLE, Ports, Set, script
from guard.firewall.nftupgrade import upgrade
from guard.lib.networks import Network
from guard.roles import Refused, Unavailable

_CHUNK = 2000
_READINGS = 10
_Ends = dict[Network, float | None]
_Pairs = dict[Set, list[tuple[bytes, int]]]


class NFTables:
    """The kernel's nftables. `ports` None is every port and protocol; else TCP ports."""

    name = "nftables"

    def __init__(self, ports: Ports, *, forwarded: bool = False, table: str = TABLE) -> None:
        """`forwarded` drops what this machine would pass on to others too."""
        self._script = script(ports, forwarded=forwarded, table=table)
        self._table = table
        self._netlink: Netlink | None = None
        # What the interval sets were told to hold; they cannot be asked for nested blocks.
        self._prefixes: _Ends | None = None
        self._shape: nftrules.Shape = {}
        self._generation = -1

    def open(self) -> None:
        """Makes table, sets and rules, or repairs them. The sets keep what they hold."""
        if self._netlink is None:
            self._netlink = Netlink()
        try:
            nftrules.generation(self._netlink)
            script = upgrade(self._netlink, self._table, self._script)
        except KernelError as error:
            raise Refused(f"this kernel has no nf_tables: {error}") from error
        commands.run(["nft", "-f", "-"], script, package="nftables")
        self._prefixes = None if script != self._script else self._prefixes
        with self._explained():
            self._shape = nftrules.shape(self._netlink, self._table)
            self._generation = nftrules.generation(self._netlink)

    def faults(self) -> list[str]:
        """What somebody removed or changed of the table since it was made."""
        with self._explained():
            return nftrules.compare(self._shape, nftrules.shape(self._opened, self._table))

    def warnings(self) -> list[str]:
        """Nothing: an accepting rule of another table ends that table's work, not ours."""
        return []

    def disturbed(self) -> bool:
        """Whether another program changed nftables since this was last asked."""
        with self._explained():
            expected, self._generation = self._generation, nftrules.generation(self._opened)
        return self._generation != expected

    def dropped(self) -> dict[str, tuple[int, int]]:
        """(packets, bytes) that each set dropped since the table was made."""
        with self._explained():
            return nftrules.dropped(self._opened, self._table)

    def apply(self, block: Sequence[Block], release: Sequence[Network], now: float) -> None:
        """Blocks and releases in one transaction; all of it or nothing."""
        wanted = live(block, now)
        gone = {network for network in (*release, *dict(block)) if network not in wanted}
        with self._explained():
            prefixes = self._known(now)
            if not all(map(_is_hashed, (*wanted, *gone))):
                prefixes = _changed(prefixes, wanted, gone, now)
            self._send(self._changes(wanted, gone, prefixes, now))
        self._prefixes = prefixes

    def replace(self, blocks: Iterable[Block], now: float) -> None:
        """Makes `blocks` all that the sets hold, in one transaction."""
        prefixes: _Ends = {}
        messages = [nftsets.flush(self._table, kind.name) for kind in HASHED.values()]
        pairs: _Pairs = defaultdict(list)
        for network, until in blocks:
            if until is not None and until <= now:
                continue
            version, value, length = network
            kind = HASHED.get((version, length))
            if kind is None:
                prefixes[network] = until
                continue
            key = value.to_bytes(4 if version == 4 else 16, "big")
            pairs[kind].append((key, nftsets.milliseconds(until, now)))
            if len(pairs[kind]) == _CHUNK:
                messages += self._add(kind, pairs.pop(kind))
        for kind, rest in pairs.items():
            messages += self._add(kind, rest)
        for version in RANGED:
            messages += self._fill(version, prefixes, now)
        with self._explained():
            self._send(messages)
        self._prefixes = prefixes

    def blocked(self, now: float) -> _Ends:
        """What the kernel's sets hold now."""
        found: _Ends = {}
        with self._explained():
            sizes = nftrules.sizes(self._opened, self._table)
            for (version, length), kind in HASHED.items():
                for key, left in self._hashed(kind, sizes.get(kind.name)).items():
                    network = Network(version, int.from_bytes(key, "big"), length)
                    found[network] = None if left is None else now + left / 1000
            known = _changed(self._known(now), {}, set(), now)
            for version in RANGED:
                held = {net: until for net, until in known.items() if net.version == version}
                found |= read_back(self._spans(version, now), held, version)
        return found

    def close(self, *, clear: bool = False) -> None:
        """Lets go of the socket; `clear` removes the table."""
        if clear:
            undo = f"add table inet {self._table}\ndelete table inet {self._table}\n"
            commands.run(["nft", "-f", "-"], undo)
        if self._netlink is not None:
            self._netlink.close()
            self._netlink = None
        self._prefixes = None

    @property
    def _opened(self) -> Netlink:
        if self._netlink is None:
            raise Refused("the nftables firewall is not open")
        return self._netlink

    def _known(self, now: float) -> _Ends:
        """The prefixes laid so far; at first, those that an earlier process left."""
        if self._prefixes is None:
            self._prefixes = {
                network: span.until
                for version in RANGED
                for span in self._spans(version, now)
                for network in blocks_of(span, version)
            }
        return self._prefixes

    def _changes(
        self, wanted: _Ends, gone: set[Network], prefixes: _Ends, now: float
    ) -> Iterator[bytes]:
        """Messages for one transaction."""
        released: _Pairs = defaultdict(list)
        blocked: _Pairs = defaultdict(list)
        ranged = set()
        for network in (*gone, *wanted):
            version, value, length = network
            kind = HASHED.get((version, length))
            if kind is None:
                ranged.add(version)
                continue
            key = value.to_bytes(4 if version == 4 else 16, "big")
            released[kind].append((key, 0))
            if network in wanted:
                blocked[kind].append((key, nftsets.milliseconds(wanted[network], now)))
        for kind, pairs in released.items():
            # Deleting what is not there fails, and before Linux 6.12 adding does not renew an end.
            # What was added can be deleted; all three in one transaction cost half as much again
            # as one. (Letting the kernel refuse a repeat costs an abort: 18 ms.)
            yield from self._add(kind, pairs)
            yield from self._elements(nftsets.DELETE_ELEMENTS, kind, pairs, 0)
        for kind, pairs in blocked.items():
            yield from self._add(kind, pairs)
        for version in ranged:
            yield from self._fill(version, prefixes, now)

    def _add(self, kind: Set, pairs: Sequence[tuple[bytes, int]]) -> Iterator[bytes]:
        return self._elements(nftsets.NEW_ELEMENTS, kind, pairs, CREATE)

    def _elements(
        self, command: int, kind: Set, pairs: Sequence[tuple[bytes, int]], flags: int
    ) -> Iterator[bytes]:
        elements = nftsets.keys(pairs, kind.bits // 8)
        return nftsets.change(command, flags, self._table, kind.name, elements)

    def _fill(self, version: int, prefixes: _Ends, now: float) -> Iterator[bytes]:
        """Messages that rewrite the interval set of one family."""
        kind = RANGED[version]
        held = {net: until for net, until in prefixes.items() if net.version == version}
        elements = nftsets.ranges(disjoint(held), kind.bits, now)
        yield nftsets.flush(self._table, kind.name)
        yield from nftsets.change(nftsets.NEW_ELEMENTS, CREATE, self._table, kind.name, elements)

    def _read(self, kind: Set) -> Iterator[tuple[bytes, int | None, bool]]:
        return nftsets.parse(self._opened.dump(nftsets.listing(self._table, kind.name)))

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
        kind = RANGED[version]
        return nftsets.spans(self._read(kind), kind.bits, now)

    def _send(self, messages: Iterable[bytes]) -> None:
        if self._opened.transact(nftsets.SUBSYSTEM, messages):
            self._generation = self._generation + 1 & 0xFFFFFFFF

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except KernelError as error:
            if error.code == errno.ENOENT:
                gone = f"somebody removed the table inet {self._table}, or a set of it"
                raise Unavailable(gone) from error
            raise Unavailable(f"nftables does not take the change: {error}") from error


def _is_hashed(network: Network) -> bool:
    return (network.version, network.length) in HASHED


def _changed(
    before: Mapping[Network, float | None], wanted: _Ends, gone: set[Network], now: float
) -> _Ends:
    """The prefixes of `before` that are still live, with `wanted` and without `gone`."""
    after = {
        network: until
        for network, until in before.items()
        if network not in gone and (until is None or until > now)
    }
    after |= {net: until for net, until in wanted.items() if not _is_hashed(net)}
    return after
