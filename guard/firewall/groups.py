"""Which claims share sets: those of each feed have sets of their own, all others have one lot.

A group is known by a short name, which is part of the names of its sets: lower-case letters, digits
and dashes, few enough for every kernel. The group "" is that of jails, of the operator, and of
feeds that this host is not configured to follow. Where there are more than a FEW feeds, the group
UNION has what any of them lists, so that a packet of nobody's is looked up there and not in each.
Feeds that close every port are no part of it: a packet to any port is looked up in each of these.
Pure.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

# An ipset's name has at most 31 characters, of which Guard's own part takes eleven.
LONGEST = 20
FEW = 3
UNION = "listed"
_VALID = re.compile(rf"[a-z0-9-]{{1,{LONGEST}}}")
_OTHER = re.compile(r"[^a-z0-9-]")
_DIGEST = 6
_TITLE = re.compile(rf"v[46]_(?:addresses|prefixes)_([a-z0-9-]{{1,{LONGEST}}})")


class Groups(NamedTuple):
    """The groups that have sets of their own, and which of them close every port."""

    names: tuple[str, ...] = ()
    everything: tuple[str, ...] = ()


NO_GROUPS = Groups()


def is_group(name: str) -> bool:
    """Whether `name` may be part of a set's name."""
    return _VALID.fullmatch(name) is not None


def group_of_feed(name: str) -> str:
    """The group of the feed `name`: the name itself where it fits, else most of it and a digest."""
    if is_group(name) and name != UNION:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGEST]
    return f"{_OTHER.sub('-', name.lower())[: LONGEST - _DIGEST - 1]}-{digest}"


def groups_of(feeds: Iterable[str], everything: Iterable[str] = ()) -> Groups:
    """The groups of `feeds`, each once, and that of all together where it helps.

    The feeds `everything` close every port, all others those that the firewall closes.
    """
    found = tuple(dict.fromkeys(map(group_of_feed, feeds)))
    closing = tuple(dict.fromkeys(map(group_of_feed, everything)))
    together = (UNION,) if len(found) > FEW else ()
    return Groups((*found, *closing, *together), closing)


def sorter(
    feeds: Iterable[str], everything: Iterable[str] = ()
) -> Callable[[str], tuple[str, ...]]:
    """What tells the groups of a claim's source, its own first; the feeds are as in `groups_of`."""
    feeds, everything = tuple(feeds), tuple(everything)
    together = (UNION,) if UNION in groups_of(feeds).names else ()
    table = {f"feed:{name}": (group_of_feed(name),) for name in everything}
    table |= {f"feed:{name}": (group_of_feed(name), *together) for name in feeds}
    return lambda source: table.get(source, ("",))


def group_of_set(title: str) -> str:
    """The group of a set that the operator knows as `title`: `v4_addresses_NAME` of a feed."""
    found = _TITLE.fullmatch(title)
    return found[1] if found else ""


def by_feed(
    dropped: Mapping[str, tuple[int, int]], feeds: Iterable[str]
) -> dict[str, tuple[int, int]]:
    """(packets, bytes) by feed, of what sets dropped; those that have no sets are left out."""
    found: dict[str, tuple[int, int]] = {}
    for title, (packets, size) in dropped.items():
        group = group_of_set(title)
        before = found.get(group, (0, 0))
        found[group] = before[0] + packets, before[1] + size
    groups = {name: group_of_feed(name) for name in feeds}
    return {name: found[group] for name, group in groups.items() if group in found}
