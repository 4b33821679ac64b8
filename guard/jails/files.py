"""jail.d/*.conf -> Jail values: the same files that a stock fail2ban reads.

The options are fail2ban's (jail.conf(5)): `enabled filter maxretry findtime bantime ignoreip
ignoreself ignorecommand` and `bantime.increment` with its family. Some are ours, and a stock
fail2ban passes over them as it does over every name it does not know:

* `guard = true`: Guard runs this jail though `enabled` is false, so that one file can be off for
  fail2ban and on for Guard. Of the two, the word in the later file counts, so `enabled = false`
  in a `.local` turns the jail off; within one file `guard` does.
* `ignoregood = true`: the evidence is weak, a peer in good standing is spared.
* `abuseipdb.score = 75`, `abuseipdb.maxretry = 1`: of an address with this score or a higher one
  so many rejections are enough; likewise `virustotal`, `greynoise` and `zen`.

What else fail2ban knows (logpath, port, action, backend ...) is for fail2ban and no mistake here.
What would spare an address and cannot be obeyed is a fault, never silence: nobody is banned
because Guard understood less than fail2ban would have.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from guard.events import Kind, Window
from guard.jails.escalation import length_of
from guard.jails.jail import RECIDIVE, Condition, Escalation, Jail
from guard.jails.values import (
    parse_bantime,
    parse_bool,
    parse_command,
    parse_count,
    parse_maxtime,
    parse_networks,
    parse_not_negative,
    parse_positive,
    parse_score,
)
from guard.lib.conffile import Conf, Unresolved, load
from guard.lib.conftags import Definition, find_definition, join_call, split_call
from guard.lib.faults import Fault
from guard.lib.networks import Network
from guard.roles import ConfigError

_T = TypeVar("_T")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_INCREMENT = "bantime.increment"
_OBEYED = (
    "enabled", "guard", "filter", "maxretry", "findtime", "bantime", "ignoreip", "ignoreself",
    "ignorecommand", "ignoregood", _INCREMENT, "bantime.factor", "bantime.formula",
    "bantime.multipliers", "bantime.maxtime", "bantime.rndtime", "bantime.overalljails",
)  # fmt: skip
SERVICES = ("abuseipdb", "virustotal", "greynoise", "zen")
CONDITIONS = tuple(f"{name}.{what}" for name in SERVICES for what in ("score", "maxretry"))
# fail2ban lets a jail change its filter; Guard reads these from the filter file alone.
_OF_THE_FILTER = (
    "failregex", "prefregex", "ignoreregex", "datepattern", "maxlines", "journalmatch",
)  # fmt: skip
_KNOWN = frozenset((*_OBEYED, *CONDITIONS, *_OF_THE_FILTER, "ignorecache", "maxmatches"))


_TEN_MINUTES: float | None = 600.0
_NOBODY: tuple[Network, ...] = ()


class JailError(ConfigError):
    """Jail files that cannot be used; `faults` has every reason, each key `[jail] option`."""


@dataclass(frozen=True, slots=True)
class JailFiles:
    """What the files say: the jails that run, what looks like a slip, what cannot be used."""

    jails: tuple[Jail, ...]
    warnings: tuple[Fault, ...]
    faults: tuple[Fault, ...]


def load_jails(folders: Sequence[Path], filters: Sequence[Path]) -> list[Jail]:
    """The jails that run, in the order of the files. Raises JailError with all faults."""
    files = read_jails(folders, filters)
    if files.faults:
        raise JailError(files.faults)
    return list(files.jails)


def read_jails(folders: Sequence[Path], filters: Sequence[Path]) -> JailFiles:
    """Everything that the jail files in `folders` say, their filters looked for in `filters`.

    A folder `jail.d` stands for fail2ban's whole order: `jail.conf` beside it, `jail.d/*.conf`,
    `jail.local`, `jail.d/*.local`; several folders are one set of files.
    """
    conf = jail_conf(folders)
    faults = [*conf.faults]
    warnings: list[Fault] = []
    jails = []
    faults += [
        Fault(str(folder), "", "there is no such folder of jail files")
        for folder in folders
        if not folder.is_dir()
    ]
    for name in conf.names():
        section = _Section(conf, name, tuple(filters))
        jail = section.jail()
        warnings += section.warnings
        faults += section.faults
        if jail is not None and not section.faults:
            jails.append(jail)
    return JailFiles(tuple(jails), tuple(dict.fromkeys(warnings)), tuple(dict.fromkeys(faults)))


def jail_conf(folders: Sequence[Path]) -> Conf:
    """The jail files in `folders` as written, faults included."""
    return load([*_ordered(folders, "conf"), *_ordered(folders, "local")])


def _ordered(folders: Sequence[Path], kind: str) -> Iterator[Path]:
    for folder in folders:
        if folder.name.endswith(".d"):
            yield folder.with_name(f"{folder.name.removesuffix('.d')}.{kind}")
        yield from sorted(folder.glob(f"*.{kind}"))


def traps(folders: Sequence[Path], filters: Sequence[Path], heard: Collection[str]) -> list[Fault]:
    """What is no fault and seldom meant: slips of the pen, and jails that hear of nothing.

    `heard` are the filters of the text logs that are followed, as a jail writes them.
    """
    files = read_jails(folders, filters)
    conf = jail_conf(folders)
    calls = {_spelled(call) for call in heard}
    return [
        *files.warnings,
        *(
            Fault(
                conf.options(jail.name)["filter"].file,
                f"[{jail.name}] filter",
                f'no [[source]] has filter = "{jail.filter}": this jail hears of nothing',
            )
            for jail in files.jails
            if not jail.kinds and jail.filter not in {*calls, *RECIDIVE}
        ),
    ]


def _spelled(call: str) -> str:
    try:
        return join_call(*split_call(call))
    except ValueError:
        return call


class _Section:
    """One section of the jail files, being read."""

    def __init__(self, conf: Conf, name: str, filters: tuple[Path, ...]) -> None:
        self.conf, self.name, self.filters = conf, name, filters
        self.faults: list[Fault] = []
        self.warnings: list[Fault] = []
        self.written = conf.options(name)

    def place(self, option: str, message: str) -> Fault:
        """A fault with the file that has the last word on `option`."""
        own = self.conf.sections.get(self.name, {})
        fallback = next(iter(own.values())).file if own else ", ".join(self.conf.files[:1])
        file = self.written[option].file if option in self.written else fallback
        return Fault(file, f"[{self.name}] {option}".strip(), message)

    def fault(self, option: str, message: str) -> None:
        self.faults.append(self.place(option, message))

    def read(self, option: str, parse: Callable[[str], _T], default: _T) -> _T:
        """The value of `option`; `default` where there is none, or a fault."""
        try:
            text = self.conf.get(self.name, option, _ALWAYS)
            return default if text is None or not text.strip() else parse(text.strip())
        except (Unresolved, ValueError) as error:
            self.fault(option, str(error))
            return default

    def runs(self) -> bool:
        """Whether Guard runs this jail: the later of `enabled` and `guard` says so."""
        enabled = self.read("enabled", parse_bool, default=False)
        if "guard" not in self.written:
            return enabled
        guard = self.read("guard", parse_bool, default=False)
        later = "enabled" in self.written and (
            self.written["enabled"].rank > self.written["guard"].rank
        )
        return enabled if later else guard

    def jail(self) -> Jail | None:
        """The jail, or None when it does not run. Faults and warnings are noted."""
        self.slips()
        if not self.runs():
            return None
        if not _NAME.fullmatch(self.name):
            self.fault("", "the name of a jail has letters, digits, '_', '-' and '.', at most 64")
        filter_, kinds = self.filter()
        findtime = self.read("findtime", parse_positive, 600.0)
        return Jail(
            name=self.name,
            filter=filter_,
            kinds=kinds,
            window=Window(self.read("maxretry", parse_count, 5), findtime),
            bantime=self.read("bantime", parse_bantime, _TEN_MINUTES),
            escalation=self.escalation(),
            ignoreip=self.read("ignoreip", parse_networks, _NOBODY),
            ignoreself=self.read("ignoreself", parse_bool, default=True),
            ignorecommand=self.read("ignorecommand", parse_command, ""),
            weak=self.read("ignoregood", parse_bool, default=False),
            conditions=tuple(self.conditions()),
        )

    def conditions(self) -> Iterator[Condition]:
        """The scores that lower the bar."""
        for name in SERVICES:
            score = self.read(f"{name}.score", parse_score, 0)
            maxretry = self.read(f"{name}.maxretry", parse_count, 0)
            if score:
                yield Condition(name=name, score=score, maxretry=maxretry or 1)
            elif maxretry and f"{name}.score" not in self.written:
                self.fault(f"{name}.maxretry", f"means nothing without {name}.score")

    def slips(self) -> None:
        """Notes options that look like another, and those that only fail2ban obeys."""
        for option in self.conf.sections.get(self.name, {}):
            ours = (*_OBEYED, *CONDITIONS)
            near = [] if option in _KNOWN else difflib.get_close_matches(option, ours, 1, 0.75)
            if near:
                self.warnings.append(self.place(option, f"unknown option, did you mean {near[0]}?"))
            if option in _OF_THE_FILTER:
                self.warnings.append(
                    self.place(option, "is read by fail2ban only: put it into the filter file")
                )

    def filter(self) -> tuple[str, frozenset[Kind]]:
        """The filter's name in one spelling, and its kinds."""
        text = self.read("filter", str, "")
        if not text:
            self.fault("filter", "is missing")
            return "", frozenset()
        try:
            name, passed = split_call(text)
            conf = find_definition(name, self.filters)
        except ValueError as error:
            self.fault("filter", str(error))
            return "", frozenset()
        if conf is None:
            folders = ", ".join(map(str, self.filters)) or "no folder at all"
            self.fault("filter", f"there is no filter {name!r} in {folders}")
            return "", frozenset()
        self.faults += conf.faults
        return join_call(name, passed), self.kinds(Definition(conf, passed))

    def kinds(self, definition: Definition) -> frozenset[Kind]:
        """What the filter file's `kinds` says; empty for a filter of a text log."""
        own = definition.conf.options("Definition")
        try:
            kinds = definition.get("kinds")
            if not kinds and not definition.get("failregex"):
                self.fault("filter", "matches nothing: it has neither failregex nor kinds")
            return frozenset(Kind(word) for word in (kinds or "").replace(",", " ").split())
        except ValueError as error:
            place = own.get("kinds") or own.get("failregex")
            file = place.file if place else ", ".join(definition.conf.files)
            message = str(error)
            if not isinstance(error, Unresolved):
                message += f"; the kinds are {', '.join(Kind)}"
            self.faults.append(Fault(file, f"[Definition] kinds, for jail {self.name}", message))
            return frozenset()

    def escalation(self) -> Escalation | None:
        """`bantime.increment` and its family, or None when it is off."""
        maxtime = self.read("bantime.maxtime", parse_maxtime, None)
        rndtime = self.read("bantime.rndtime", parse_not_negative, 0.0)
        overalljails = self.read("bantime.overalljails", parse_bool, default=False)
        texts = {
            word: self.read(f"bantime.{word}", str, "")
            for word in ("formula", "factor", "multipliers")
        }
        if not self.read(_INCREMENT, parse_bool, default=False):
            return None
        try:
            length = length_of(**texts)
        except ValueError as error:
            self.fault(next(f"bantime.{word}" for word in texts if texts[word]), str(error))
            return None
        return Escalation(
            length=length, maxtime=maxtime, rndtime=rndtime, overalljails=overalljails
        )


# jail.conf(5): always there in jails. The version is the last whose files Guard was tried with.
_ALWAYS = {"fail2ban_version": "1.1.0", "fail2ban_confpath": "/etc/fail2ban"}
