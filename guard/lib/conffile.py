"""fail2ban's configuration files as values: sections, options, includes, interpolation.

confparse.py reads one file; here files are laid over each other in the order given, so that a
`.local` changes single options, `[DEFAULT]` is inherited by every section, and `%(name)s` is
replaced (jail.conf(5), "CONFIGURATION FILES FORMAT").

The operator's files are trusted to say what they mean and nothing else: no text is evaluated, and
whatever is wrong becomes a Fault with file and key, all of them at once. Meaning is for the
callers: this file knows neither jails nor filters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from guard.lib.confparse import DEFAULT, Option, Sections, parse
from guard.lib.faults import Fault

_MAX_BYTES = 4 * 1024 * 1024
_MAX_DEPTH = 10
_MAX_INCLUDES = 200
_CONDITIONAL = re.compile(r"(\w+)(\?.+)")
_REFERENCE = re.compile(r"%\(([^)]+)\)s")


class Unresolved(ValueError):
    """A value refers to something that is not there, or to itself."""


@dataclass(frozen=True, slots=True)
class Conf:
    """Several files as one. `known` has, of each redefined option, the definition before."""

    sections: Sections = field(default_factory=dict)
    known: Sections = field(default_factory=dict)
    files: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()

    def names(self) -> list[str]:
        """The sections, in order, without `[DEFAULT]` and `[INCLUDES]`."""
        return [name for name in self.sections if name not in (DEFAULT, "INCLUDES")]

    def options(self, section: str) -> Mapping[str, Option]:
        """What `section` and `[DEFAULT]` say, as written; nothing where there is no section."""
        if section not in self.sections:
            return {}
        return {**self.sections.get(DEFAULT, {}), **self.sections.get(section, {})}

    def get(self, section: str, option: str, given: Mapping[str, str] | None = None) -> str | None:
        """The value with every `%(..)s` replaced, or None where there is none.

        `given` goes before what the files say. Raises Unresolved.
        """
        given = given or {}
        found = given.get(option)
        if found is None:
            written = self.options(section).get(option)
            if written is None:
                return None
            found = written.text
        return self._interpolate(section, found, given, 0)

    def get_tag(self, section: str, name: str, given: Mapping[str, str]) -> str | None:
        """The value of a `<name>`, which may be `<other-section/option>` or `<known/option>`."""
        other, slash, option = name.partition("/")
        if not slash:
            return self.get(section, name, given)
        if other.lower() == "known":
            before = self.known.get(section, {}).get(option)
            if before is None:
                return self.get(section, option)
            return self._interpolate(section, before.text, {}, 0)
        return self.get(DEFAULT if other.lower() == "default" else other, option)

    def _interpolate(self, section: str, text: str, given: Mapping[str, str], depth: int) -> str:
        if depth > _MAX_DEPTH:
            raise Unresolved("values refer to each other more than ten deep, or in a circle")
        parts, at = [], 0
        while (percent := text.find("%", at)) >= 0:
            parts.append(text[at:percent])
            if text.startswith("%%", percent):
                parts.append("%")
                at = percent + 2
                continue
            reference = _REFERENCE.match(text, percent)
            if reference is None:
                raise Unresolved(f"a % must be doubled, or be %(name)s: {text[percent:][:30]!r}")
            value = self._value_of(section, reference[1], given)
            nested = "%" in value
            parts.append(self._interpolate(section, value, given, depth + 1) if nested else value)
            at = reference.end()
        return "".join(parts) + text[at:]

    def _value_of(self, section: str, name: str, given: Mapping[str, str]) -> str:
        """What `%(name)s` stands for, itself not yet replaced. Raises Unresolved."""
        lower = name.lower()
        if lower == "__name__":
            return section
        if lower in given:
            return given[lower]
        written = self.options(section).get(lower)
        if written is None and "/" in name:
            written = self._elsewhere(section, *name.split("/", 1))
        if written is None:
            raise Unresolved(f"%({name})s is defined nowhere")
        return written.text

    def _elsewhere(self, section: str, other: str, option: str) -> Option | None:
        """`%(other/option)s`: of another section, of `[DEFAULT]`, or the definition before."""
        option = option.lower()
        default = self.sections.get(DEFAULT, {}).get(option)
        if other.lower() == "default":
            return default
        if other.lower() == "known":
            return self.known.get(section, {}).get(option, default)
        if other not in self.sections:
            return None
        return self.sections[other].get(option, default)


def load(files: Sequence[Path]) -> Conf:
    """`files` and what they include, laid over each other in order.

    Files that do not exist are left out, as fail2ban leaves out includes that do not. What cannot
    be read or parsed is in `faults`, and the rest is still there.
    """
    loading = _Loading(frozenset(files))
    return merge(loading.ordered(files), loading.faults)


def merge(parsed: Iterable[tuple[str, Sections]], faults: Iterable[Fault] = ()) -> Conf:
    """Lays the sections of (file, sections) pairs over each other; the last word wins."""
    sections: Sections = {}
    known: Sections = {}
    files = []
    for rank, (file, layer) in enumerate(parsed):
        files.append(file)
        for written in layer:
            name, options = _unconditional(written, layer[written])
            before = sections.setdefault(name, {})
            if name != DEFAULT:
                known.setdefault(name, {}).update(
                    {option: before[option] for option in options if option in before}
                )
            before.update({key: value._replace(rank=rank) for key, value in options.items()})
    return Conf(sections, known, tuple(files), tuple(dict.fromkeys(faults)))


def _unconditional(name: str, options: dict[str, Option]) -> tuple[str, dict[str, Option]]:
    """`[Init?family=inet6]` is `[Init]` with `?family=inet6` after the name of every option."""
    found = _CONDITIONAL.fullmatch(name)
    if found is None:
        return name, options
    return found[1], {f"{option}{found[2]}": value for option, value in options.items()}


class _Loading:
    """Reads each file once and puts its includes around it."""

    def __init__(self, listed: frozenset[Path]) -> None:
        self.listed = listed
        self.faults: list[Fault] = []
        self.parsed: dict[Path, Sections | None] = {}
        self.budget = _MAX_INCLUDES

    def ordered(
        self, files: Iterable[Path], seen: tuple[Path, ...] = ()
    ) -> list[tuple[str, Sections]]:
        """(file, sections) in the order of laying: before-files, the file, after-files."""
        ordered = []
        for file in _with_local(files, self.listed):
            sections = self.read(file)
            if sections is None:
                continue
            includes = sections.get("INCLUDES", {})
            for key in ("before", "", "after"):
                if not key:
                    ordered.append((str(file), sections))
                elif key in includes:
                    ordered += self.ordered(self.included(file, includes[key], seen), (*seen, file))
        return ordered

    def included(self, file: Path, option: Option, seen: tuple[Path, ...]) -> Iterator[Path]:
        """The files that an include names, those on the way to it left out."""
        for name in filter(None, option.text.split("\n")):
            path = file.parent / name
            self.budget -= 1
            if self.budget == 0:
                self.faults.append(Fault(str(file), "[INCLUDES]", "too many includes"))
            if self.budget > 0 and path not in seen:
                yield path

    def read(self, file: Path) -> Sections | None:
        if file not in self.parsed:
            self.parsed[file] = self.read_anew(file)
        return self.parsed[file]

    def read_anew(self, file: Path) -> Sections | None:
        if not file.exists():
            return None
        try:
            with file.open("rb") as stream:
                data = stream.read(_MAX_BYTES + 1)
            if len(data) > _MAX_BYTES:
                raise ValueError("is larger than a configuration file ever is")  # noqa: TRY301
            text = data.decode("utf-8")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            self.faults.append(Fault(str(file), "", reason or str(error)))
            return None
        sections, faults = parse(text, str(file))
        self.faults += faults
        return sections


def _with_local(files: Iterable[Path], listed: frozenset[Path]) -> Iterator[Path]:
    """Every file, and after it its `.local` where that is not in the list by itself."""
    for file in files:
        yield file
        local = file.with_suffix(".local")
        if local != file and local not in listed and local.is_file():
            yield local


def layers(basename: Path) -> list[Path]:
    """fail2ban's order for `jail` or `filter.d/NAME`, those files that exist.

    NAME.conf, NAME.d/*.conf, NAME.local, NAME.d/*.local.
    """
    folder = basename.with_name(basename.name + ".d")
    files = []
    for kind in ("conf", "local"):
        files += [basename.with_name(f"{basename.name}.{kind}"), *sorted(folder.glob(f"*.{kind}"))]
    return [file for file in files if file.exists()]
