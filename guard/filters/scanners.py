"""Scanners and other protocols, told by their own words: etc/scanners.toml, compiled.

Pure once it is read. What a name or a first byte says is said by the peer of itself, and all that
follows is its own; a reverse name says something only when somebody has confirmed it.
"""

from __future__ import annotations

import json
import logging
import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from guard.events import Kind
from guard.lib.faults import Fault
from guard.lib.networks import Network
from guard.lib.prefixes import PrefixMap, parse_networks
from guard.roles import ConfigError

log = logging.getLogger("guard.scanners")

_KINDS = {"scanner": Kind.SCANNER, "protocol": Kind.NON_SMTP}
_SORTS = ("ehlo", "agent", "line", "auth", "first", "reverse")
_KEYS = {"name", *_SORTS, "seen", "source"}
_DOMAIN = re.compile(r"([a-z0-9_-]{1,63}\*\.)?([a-z0-9_-]{1,63}\.)+[a-z][a-z0-9-]*[a-z0-9]")
_LISTS = (".txt", ".json", ".list", ".netset", ".ipset", ".cidr")  # not a folder's README
_LOOKED_AT = 512


class Sign(NamedTuple):
    """What somebody is."""

    name: str
    kind: Kind


class Signatures:
    """All that is known, ready to be asked."""

    def __init__(self, rules: dict[str, list[tuple[str, Sign]]]) -> None:
        self._signs: dict[str, list[Sign]] = {}
        self._patterns: dict[str, re.Pattern[str] | None] = {}
        for sort in ("ehlo", "agent", "line", "auth", "reverse"):
            found = rules.get(sort, [])
            if sort == "reverse":
                found = [(_below(text), sign) for text, sign in found]
            self._signs[sort] = [sign for _, sign in found]
            # A group of its own around each expression, none inside: lastindex tells which.
            joined = "|".join(f"({text})" for text, _ in found)
            self._patterns[sort] = re.compile(joined, re.IGNORECASE) if found else None
        first = [(bytes.fromhex(text), sign) for text, sign in rules.get("first", [])]
        self._first = [(prefix, sign) for prefix, sign in first if b"\n" not in prefix]
        self.openers = frozenset(prefix[:1] for prefix, _ in first if b"\n" in prefix)
        self._openings = {prefix: sign for prefix, sign in first if b"\n" in prefix}
        names = [text for text, _ in rules.get("reverse", [])]
        self.domains = frozenset(text.partition("*.")[2] or text for text in names)
        # Few names, and few user agents, come with most of the sessions.
        self.greeting = lru_cache(maxsize=4096)(self._greeting)
        self.agent = lru_cache(maxsize=1024)(self._agent)
        self._beginnings = frozenset(prefix[0] for prefix, _ in self._first)
        # Who begins with another byte than these is not looked at any more.
        self.suspects = self._beginnings | {opener[0] for opener in self.openers}

    def _greeting(self, name: str) -> Sign | None:
        """Whom the name after EHLO gives away."""
        return self._search("ehlo", name[:_LOOKED_AT])

    def mechanism(self, text: str) -> Sign | None:
        """Whom an AUTH mechanism gives away, with the initial response behind a blank."""
        return self._search("auth", text[:_LOOKED_AT])

    def reverse(self, name: str) -> Sign | None:
        """Whom a reverse name that was confirmed gives away."""
        return self._search("reverse", name)

    def _agent(self, text: str) -> Sign | None:
        """Whom an HTTP user agent gives away."""
        return self._search("agent", text[:_LOOKED_AT])

    def line(self, line: str) -> Sign | None:
        """Whom a line that is no command gives away, by its beginning."""
        line = line[:_LOOKED_AT]
        if line[:5].upper() in ("EHLO ", "HELO "):
            return self.greeting(line[5:].strip())
        pattern = self._patterns["line"]
        found = pattern.match(line) if pattern else None
        return self._signs["line"][found.lastindex - 1] if found and found.lastindex else None

    def first(self, data: bytes) -> Sign | None:
        """Whom the first bytes of a connection give away; None also while they may still."""
        if not data or data[0] not in self._beginnings:
            return None
        for prefix, sign in self._first:
            if data.startswith(prefix):
                return sign
        return None

    def opening(self, lines: bytes) -> Sign | None:
        """Whom the first lines of a connection give away, line ends included."""
        return self._openings.get(lines)

    def opens(self, lines: bytes) -> bool:
        """Whether a connection that begins with `lines` may still give somebody away so."""
        return any(opening.startswith(lines) for opening in self._openings)

    def undecided(self, data: bytes) -> bool:
        """Whether more bytes are needed to know."""
        if not data or data[0] not in self._beginnings:
            return False
        return any(len(data) < len(prefix) and prefix.startswith(data) for prefix, _ in self._first)

    def _search(self, sort: str, text: str) -> Sign | None:
        pattern = self._patterns[sort]
        found = pattern.search(text) if pattern else None
        return self._signs[sort][found.lastindex - 1] if found and found.lastindex else None


NOTHING = Signatures({})
NOWHERE = PrefixMap()


def load_signatures(paths: Sequence[Path]) -> Signatures:
    """What all of `paths` know. Raises ConfigError with every fault."""
    rules: dict[str, list[tuple[str, Sign]]] = {}
    faults: list[Fault] = []
    for path in paths:
        try:
            data = tomllib.loads(path.read_text("utf-8"))
        except OSError as error:
            faults.append(Fault(str(path), "", error.strerror or str(error)))
            continue
        except (ValueError, RecursionError) as error:
            faults.append(Fault(str(path), "", f"not TOML: {error}"))
            continue
        for sort, text, sign, key in _rules(data, str(path), faults):
            wrong = _wrong(sort, text)
            if wrong:
                faults.append(Fault(str(path), key, wrong))
            else:
                plain = text if sort == "reverse" else _no_groups(text)
                rules.setdefault(sort, []).append((plain, sign))
    if faults:
        raise ConfigError(faults)
    return Signatures(rules)


def _rules(
    data: dict[str, object], file: str, faults: list[Fault]
) -> Iterable[tuple[str, str, Sign, str]]:
    """(sort, text, sign, key) of every rule in a file; what is no rule is a fault."""
    for table, rows in data.items():
        if table not in _KINDS or not isinstance(rows, list):
            faults.append(Fault(file, table, "must be [[scanner]] or [[protocol]]"))
            continue
        for number, row in enumerate(rows):
            key = f"{table}[{number}]"
            name = row.get("name") if isinstance(row, dict) else None
            if not isinstance(row, dict) or not isinstance(name, str) or not name.isprintable():
                faults.append(Fault(file, f"{key}.name", "is missing, or is no text"))
                continue
            faults += [Fault(file, f"{key}.{k}", "unknown key") for k in row.keys() - _KEYS]
            for sort in _SORTS:
                texts = row.get(sort, [])
                if not isinstance(texts, list) or not all(isinstance(t, str) for t in texts):
                    faults.append(Fault(file, f"{key}.{sort}", "must be a list of texts"))
                    continue
                for text in texts:
                    yield sort, text, Sign(name, _KINDS[table]), f"{key}.{sort}"


def _wrong(sort: str, text: str) -> str | None:
    try:
        if sort == "first":
            return None if bytes.fromhex(text) else "needs at least one byte"
        if sort == "reverse":
            return None if _DOMAIN.fullmatch(text) else f"{text!r} is no domain in small letters"
        pattern = re.compile(text, re.IGNORECASE)
    except (ValueError, re.error) as error:
        return f"{text!r}: {error}"
    if pattern.match("") or pattern.groupindex or re.search(r"\\[1-9]", text):
        return f"{text!r}: matches everything, or has named groups or back-references"
    return None


def _below(text: str) -> str:
    """A domain and all below it, or what begins so in front of it, as an expression."""
    return r"(?:^|\.)" + re.escape(text).replace(r"\*", "[^.]*") + "$"


def _no_groups(text: str) -> str:
    """`text` with its groups made such that they do not count."""
    return re.sub(r"(\\.|\[(?:\\.|[^\]\\])*\])|\((?!\?)", lambda m: m[1] or "(?:", text)


def range_files(paths: Sequence[Path]) -> list[Path]:
    """The lists that `paths` name; of a folder those in it whose name ends as a list's does."""
    found: list[Path] = []
    for path in paths:
        inside = (each for end in _LISTS for each in path.glob("*" + end))
        found += sorted(inside) if path.is_dir() else [path]
    return found


def load_ranges(paths: Sequence[Path]) -> PrefixMap:
    """The networks in `paths`, named by the files: one a line, or a MISP warning list in JSON.

    A path may be a folder of such files.
    They are other people's lists: an entry that is no network is left out, with a line in the log.
    Raises ConfigError for files that cannot be read or hold no network at all.
    """
    found: list[tuple[Network, str]] = []
    faults: list[Fault] = []
    for path in range_files(paths):
        try:
            words = _words(path.read_text("utf-8"))
        except OSError as error:
            faults.append(Fault(str(path), "", error.strerror or str(error)))
            continue
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            faults.append(Fault(str(path), "", f"is no list of networks: {error!r}"))
            continue
        networks = list(_networks(words, path))
        name = re.sub(r"_v[46]$", "", path.stem)
        found += [(network, name) for network in networks]
        if not networks:
            faults.append(Fault(str(path), "", "holds no network"))
    if faults:
        raise ConfigError(faults)
    return PrefixMap(found)


def _networks(words: list[tuple[int, str]], path: Path) -> Iterator[Network]:
    for number, word in words:
        try:
            yield from parse_networks(word)
        except ValueError as error:
            log.warning("%s: %d: %s; left out", path, number, error)


def _words(text: str) -> list[tuple[int, str]]:
    """(line or entry number, network) of a list in either form."""
    if text.lstrip().startswith("{"):
        return list(enumerate((str(word) for word in json.loads(text)["list"]), 1))
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [(number, line) for number, line in enumerate(lines, 1) if line]
