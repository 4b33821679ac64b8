"""Which entries of listener_domains take away what a broader entry says, as warnings.

Nothing merges between entries, and a longer key ends a shorter wildcard's reach (domain_map.py):
that is how KumoMTA is, and seldom what the author of a file had in mind. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain

from guard.lib.faults import Fault
from guard.relay.listener_domains import EVERY, Entry
from guard.relay.options import ListenerDomain

_OPTIONS = ("relay_to", "relay_from", "relay_from_authz", "log_oob", "log_arf")
_NOTHING = ListenerDomain()
_ALIKE = 3  # so many entries are warned of one by one; beyond, the first speaks for all
_Places = dict[tuple[str, str], Entry]


def hidden(entries: Sequence[Entry]) -> list[Fault]:
    """A warning for each entry that hides options of another, or names from a wildcard."""
    places = {(entry.listener, entry.domain): entry for entry in entries}
    hides: dict[tuple[str, str], list[Fault]] = defaultdict(list)
    cuts: dict[str, list[Fault]] = defaultdict(list)
    for entry in entries:
        for broader in _broader(entry, places):
            lost = ", ".join(o for o in _says(broader) if o not in entry.files)
            if lost:
                message = f"hides {lost} of {broader.key}, for entries do not merge"
                hides[broader.key, lost].append(Fault(entry.file, entry.key, message))
        wild = _wildcard(entry.domain, entry.listener, places)
        if wild and _says(wild) and (names := _cut(entry, wild, places)):
            message = f"takes {', '.join(names)} out of {wild.key}: a longer key ends its reach"
            cuts[wild.key].append(Fault(entry.file, entry.key, message))
    return list(chain.from_iterable(map(_few, chain(hides.values(), cuts.values()))))


def _few(alike: list[Fault]) -> list[Fault]:
    """A long file must not bury every other warning under warnings of one kind."""
    if len(alike) <= _ALIKE:
        return alike
    return [replace(alike[0], message=f"{alike[0].message}; {len(alike) - 1} more entries alike")]


def _says(entry: Entry) -> list[str]:
    """The options that the entry switches on."""
    return [o for o in _OPTIONS if getattr(entry.options, o) != getattr(_NOTHING, o)]


def _broader(entry: Entry, places: _Places) -> Iterator[Entry]:
    """Entries that would hold for names of `entry` if it were not there."""
    own = _wildcard(entry.domain, entry.listener, places)
    if own or (entry.domain != EVERY and (own := places.get((entry.listener, EVERY)))):
        yield own
    if entry.listener == EVERY:
        return
    if entry.domain.startswith("*"):
        tail = entry.domain[1:]
        for (listener, domain), other in places.items():
            if listener == EVERY and domain.endswith(tail):
                yield other
        return
    for_all = places.get((EVERY, entry.domain)) or _wildcard(entry.domain, EVERY, places)
    if for_all or (for_all := places.get((EVERY, EVERY))):
        yield for_all


def _wildcard(domain: str, listener: str, places: _Places) -> Entry | None:
    """The nearest wildcard above `domain` in the map of `listener`, `*` itself left out."""
    labels = domain.removeprefix("*.").split(".")
    for at in range(1, len(labels)):
        if found := places.get((listener, "*." + ".".join(labels[at:]))):
            return found
    return None


def _cut(entry: Entry, wild: Entry, places: _Places) -> list[str]:
    """Names that `wild` would hold for and, because of the key of `entry`, does not."""
    name, names = entry.domain.removeprefix("*."), []
    if name == entry.domain and (entry.listener, f"*.{name}") not in places:
        names.append(f"names below {name}")
    top, above = wild.domain.removeprefix("*."), name.partition(".")[2]
    while above != top:
        if (entry.listener, above) not in places:
            names.append(above)
        above = above.partition(".")[2]
    return names
