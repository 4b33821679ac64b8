"""Which entries of listener_domains take away what a broader entry says, as warnings.

Nothing merges between entries, and a longer key ends a shorter wildcard's reach (domain_map.py):
that is how KumoMTA is, and seldom what the author of a file had in mind. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice

from guard.lib.faults import Fault
from guard.relay.listener_domains import EVERY, Entry
from guard.relay.options import ListenerDomain

_OPTIONS = ("relay_to", "relay_from", "relay_from_authz", "log_oob", "log_arf")
_NOTHING = ListenerDomain()
_ALIKE = 3  # so many are told one by one; beyond, the first speak for all
_Places = dict[tuple[str, str], Entry]
_Below = dict[str, list[tuple[Entry, list[str]]]]


def hidden(entries: Sequence[Entry]) -> list[Fault]:
    """A warning for each entry that hides options of another, or names from a wildcard."""
    places, below = _places(entries), _below(entries)
    alike: dict[str, list[Fault]] = defaultdict(list)
    for entry in entries:
        for kind, message in _messages(entry, places, below):
            alike[kind].append(Fault(entry.file, entry.key, message))
    return list(chain.from_iterable(map(_few, alike.values())))


def hides(entry: Entry, entries: Sequence[Entry]) -> list[str]:
    """What `entry`, one of `entries`, hides, in words."""
    return [message for _, message in _messages(entry, _places(entries), _below(entries))]


def _places(entries: Sequence[Entry]) -> _Places:
    return {(entry.listener, entry.domain): entry for entry in entries}


def _messages(entry: Entry, places: _Places, below: _Below) -> Iterator[tuple[str, str]]:
    """(kind, message): those of one kind say the same of different entries."""
    if lost := list(islice(_loses(entry, places, below), _ALIKE + 1)):
        some = "; ".join(f"{', '.join(names)} of {e.key}" for e, names in lost[:_ALIKE])
        more = "; and more" if len(lost) > _ALIKE else ""
        message = f"hides {some}{more}, for entries do not merge"
        yield message, message
    wild = _wildcard(entry.domain, entry.listener, places)
    if wild and _says(wild) and (names := _cut(entry, wild, places)):
        yield wild.key, f"takes {', '.join(names)} out of {wild.key}: a longer key ends its reach"
    if every := _ends(entry, places):
        rest = f"all other names of .{entry.domain.rpartition('.')[2]}"
        yield f"{every.key}{rest}", f"takes {rest} out of {every.key}: a longer key ends its reach"


def _ends(entry: Entry, places: _Places) -> Entry | None:
    """A listener's own `*` that no longer holds for the top-level domain of `entry`.

    For the `*` of all listeners there is a step of its own in the look-up.
    """
    every = places.get((entry.listener, EVERY))
    if every is None or entry.listener == EVERY or entry.domain in (EVERY, ""):
        return None
    top = entry.domain.rpartition(".")[2]
    mended = (entry.listener, f"*.{top}") in places or entry.domain.startswith("[")
    return None if mended or not _says(every) else every


def _few(alike: list[Fault]) -> list[Fault]:
    """A long file must not bury every other warning under warnings of one kind."""
    if len(alike) <= _ALIKE:
        return alike
    return [replace(alike[0], message=f"{alike[0].message}; {len(alike) - 1} more entries alike")]


def _says(entry: Entry) -> list[str]:
    """The options that the entry switches on."""
    return [o for o in _OPTIONS if getattr(entry.options, o) != getattr(_NOTHING, o)]


def _below(entries: Sequence[Entry]) -> _Below:
    """For each domain: the entries of all listeners for names below it, and what they say."""
    found: _Below = defaultdict(list)
    for entry in entries:
        if entry.listener == EVERY and (says := _says(entry)):
            labels = entry.domain.split(".")
            for at in range(1, len(labels)):
                found[".".join(labels[at:])].append((entry, says))
            found[""].append((entry, says))
    return found


def _loses(entry: Entry, places: _Places, below: _Below) -> Iterator[tuple[Entry, list[str]]]:
    """The entries that would hold for names of `entry`, and which of their options it takes."""
    broader: Iterable[tuple[Entry, list[str]]]
    broader = [(other, _says(other)) for other in _broader(entry, places)]
    if entry.listener != EVERY and entry.domain.startswith("*"):
        broader = chain(broader, below.get(entry.domain[2:], ()))
    for other, says in broader:
        lost = [option for option in says if option not in entry.files]
        if lost:
            yield other, lost


def _broader(entry: Entry, places: _Places) -> Iterator[Entry]:
    """Entries that would hold for the name of `entry` if it were not there."""
    own = _wildcard(entry.domain, entry.listener, places)
    if own or (entry.domain != EVERY and (own := places.get((entry.listener, EVERY)))):
        yield own
    if entry.listener == EVERY or entry.domain.startswith("*"):
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
