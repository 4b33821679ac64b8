"""KumoMTA's listener_domains files, unchanged: who may relay, per domain and listener.

Several files are one set: a later file overrides an earlier one option by option, for the same
listener and domain. Nothing else merges: the first entry that a look-up hits is all there is
(policy-extras/listener_domains.lua; reference is the file itself, since its documentation tells
another story). Every option remembers the file that set it. A set with a fault in it is refused
as a whole, with every fault named.
"""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from guard.lib.faults import Fault
from guard.relay.domain_map import DomainMap
from guard.relay.options import ListenerDomain, made, read_option
from guard.roles import ConfigError

EVERY = "*"


@dataclass(frozen=True, slots=True)
class Entry:
    """One domain's options and where they were written.

    `key` is the place inside of `file`, as in `listener."192.0.2.1:25"."*.example.com"`;
    `files` has the file of each option that is set.
    """

    listener: str
    domain: str
    options: ListenerDomain
    file: str
    key: str
    files: Mapping[str, str] = field(default_factory=dict)

    def where(self, option: str = "") -> str:
        """`file:key` of an option if it is set, else of the entry."""
        if option in self.files:
            return f"{self.files[option]}:{self.key}.{option}"
        return f"{self.file}:{self.key}"


class ListenerDomains:
    """A set of entries and KumoMTA's look-up in it. Immutable. `notes` are for who reads files."""

    __slots__ = ("_maps", "entries", "notes")

    def __init__(self, entries: Iterable[Entry] = (), notes: Iterable[Fault] = ()) -> None:
        self.entries, self.notes = tuple(entries), tuple(notes)
        by_listener: dict[str, list[tuple[str, Entry]]] = {}
        for entry in self.entries:
            by_listener.setdefault(entry.listener, []).append((entry.domain, entry))
        self._maps = {listener: DomainMap(found) for listener, found in by_listener.items()}

    def find(self, domain: str, listener: str) -> Entry | None:
        """The one entry that counts for `domain` (canonical) on `listener` (local `ip:port`).

        The first hit wins entirely: the map of exactly this listener, the map of all listeners,
        the entry `*` of all listeners.
        """
        exact = self._maps.get(listener)
        found = exact.get(domain) if exact else None
        if found is None and (every := self._maps.get(EVERY)):
            found = every.get(domain) or every.get(EVERY)
        return found


def load(paths: Sequence[Path]) -> ListenerDomains:
    """The set that the files `paths` make, in this order: `.toml` is TOML, all else JSON.

    Raises ConfigError with the faults of all files.
    """
    reading = _Reading()
    for path in paths:
        data = _read(path, reading.faults, reading.notes)
        if data is not None:
            reading.add(data, str(path))
    if reading.faults:
        raise ConfigError(reading.faults)
    return reading.result()


def parse(data: Mapping[str, Any], file: str = "") -> ListenerDomains:
    """The set that one file's `data` makes. Raises ConfigError."""
    reading = _Reading()
    reading.add(data, file)
    if reading.faults:
        raise ConfigError(reading.faults)
    return reading.result()


def _read(path: Path, faults: list[Fault], notes: list[Fault]) -> Mapping[str, Any] | None:
    form = "TOML" if path.name.endswith(".toml") else "JSON"

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        data = dict(items)
        for name, times in Counter(name for name, _ in items).items():
            if times > 1:
                notes.append(Fault(str(path), _quoted(name), "is there twice; the last one counts"))
        return data

    try:
        text = path.read_text("utf-8")
        data = tomllib.loads(text) if form == "TOML" else json.loads(text, object_pairs_hook=pairs)
    except OSError as error:
        faults.append(Fault(str(path), "", error.strerror or str(error)))
    except (ValueError, RecursionError) as error:
        faults.append(Fault(str(path), "", f"not {form}: {error}"))
    else:
        if isinstance(data, dict):
            return data
        faults.append(Fault(str(path), "", "must be an object of domains"))
    return None


def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


@dataclass
class _Options:
    """An entry in the making: option -> (value, the file that set it)."""

    key: str
    file: str
    set: dict[str, tuple[Any, str]] = field(default_factory=dict)


class _Reading:
    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.notes: list[Fault] = []
        self._found: dict[tuple[str, str], _Options] = {}

    def add(self, data: Mapping[str, Any], file: str) -> None:
        """Takes one file in. Within a file a plain domain replaces one of `listener."*"`."""
        here: dict[tuple[str, str], _Options] = {}
        for listener, domains in self._table(data.get("listener", {}), file, "listener"):
            place = f"listener.{_quoted(listener)}"
            for domain, options in self._table(domains, file, place):
                key = f"{place}.{_quoted(domain)}"
                here[listener, domain] = self._options(options, file, key)
        for domain, options in data.items():
            if domain != "listener":
                here[EVERY, domain] = self._options(options, file, _quoted(domain))
        for at, new in here.items():
            known = self._found.setdefault(at, new)
            known.set |= new.set
            known.file = file

    def _options(self, data: object, file: str, key: str) -> _Options:
        found = _Options(key, file)
        for name, value in self._table(data, file, key):

            def complain(at: str, why: str, name: str = name) -> None:
                self.faults.append(Fault(file, f"{key}.{name}{at}", why))

            found.set[name] = (read_option(name, value, complain), file)
        return found

    def _table(self, data: object, file: str, key: str) -> list[tuple[str, Any]]:
        if isinstance(data, dict):
            return list(data.items())
        self.faults.append(Fault(file, key, f"must be a table, not {data!r}"))
        return []

    def result(self) -> ListenerDomains:
        entries = (
            Entry(
                listener,
                domain,
                made({name: value for name, (value, _) in options.set.items()}),
                options.file,
                options.key,
                {name: file for name, (_, file) in options.set.items()},
            )
            for (listener, domain), options in self._found.items()
        )
        return ListenerDomains(entries, self.notes)
