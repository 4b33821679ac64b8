"""Jails and filters as files for a host that has only fail2ban: pure, text in and text out.

A jail is written with everything interpolated, so that it needs none of the files it came from.
What only Guard understands is left out, and what fail2ban has to know in its place is put in:
`enabled`, and the networks that Guard protects.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from guard.jails.files import CONDITIONS
from guard.jails.jail import Jail
from guard.lib.conffile import Conf, Unresolved
from guard.lib.conftags import find_definition, split_call
from guard.lib.networks import Network

_OURS = frozenset(("guard", "ignoregood", "enabled", "ignoreip", "logpath", *CONDITIONS))
_HEAD = """\
# Written by `guard export fail2ban`. Change the jails where they came from, and export again.
# fail2ban counts lines: where these are records of Guard's listener, set `collapse = "0s"` there.
# The ignoreip of a jail takes the place of the one under [DEFAULT] on the host of that fail2ban.
"""


def countable(jails: Iterable[Jail]) -> tuple[list[Jail], list[str]]:
    """The jails that count the same in fail2ban, and the names of those that would not.

    A jail that names kinds itself (`kumomta[kinds="auth_failed"]`) would count every refusal there,
    because fail2ban passes over that option.
    """
    every = list(jails)
    unlike = [jail.name for jail in every if "kinds" in split_call(jail.filter)[1]]
    return [jail for jail in every if jail.name not in unlike], unlike


def jail_file(
    conf: Conf, jails: Iterable[Jail], ignore: Sequence[Network], logpath: str | None
) -> str:
    """The text of a jail.d file with `jails`, which were read from `conf`.

    `ignore` is added to the ignoreip of each; `logpath` takes the place of each jail's own.
    """
    return "\n".join([_HEAD, *(_section(conf, jail, ignore, logpath) for jail in jails)])


def _section(conf: Conf, jail: Jail, ignore: Sequence[Network], logpath: str | None) -> str:
    own = conf.sections.get(jail.name, {})
    inherited = [name for name in conf.options(jail.name) if name.startswith("bantime.")]
    values = {
        "enabled": "true",
        "filter": jail.filter,
        "maxretry": str(jail.window.maxretry),
        "findtime": f"{jail.window.findtime:.0f}",
        "bantime": "-1" if jail.bantime is None else f"{jail.bantime:.0f}",
    }
    for option in dict.fromkeys((*own, *inherited)):
        if option not in _OURS and option not in values:
            values[option] = _value(conf, jail.name, option)
    networks = dict.fromkeys((*jail.ignoreip, *ignore))
    if networks:
        values["ignoreip"] = " ".join(map(str, networks))
    path = logpath or _value(conf, jail.name, "logpath")
    if path:
        values["logpath"] = path
    lines = [f"{name} = {_written(text)}" for name, text in values.items()]
    return "\n".join([f"[{jail.name}]", "", *lines, ""])


def _value(conf: Conf, section: str, option: str) -> str:
    """The value with everything replaced; as it stands where only fail2ban can replace it."""
    try:
        found = conf.get(section, option) or ""
    except Unresolved:
        return conf.options(section)[option].text
    return found.replace("%", "%%")


def _written(text: str) -> str:
    return text.replace("\n", "\n    ")


def filter_files(jails: Iterable[Jail], folders: Sequence[Path]) -> dict[str, Path]:
    """The files, by their names in filter.d, that the filters of `jails` are made of."""
    found: dict[str, Path] = {}
    for name in dict.fromkeys(split_call(jail.filter)[0] for jail in jails):
        conf = find_definition(name, tuple(folders))
        for file in conf.files if conf else ():
            path = Path(file)
            if not any(path.parent == folder for folder in folders):
                raise ValueError(f"{file}: is outside of the folders of filters")
            found.setdefault(path.name, path)
    return found


# Expressions of etc/scanners.toml that keep their meaning inside of a JSON string.
_PIECE = re.compile(
    r"(?P<escape>\\[bdsw]|\\[^A-Za-z0-9])|(?P<set>\[(?!\^)(?:\\.|[^\]\\\"])+\])"
    r"|(?P<group>\((?!\?)|\(\?:)|(?P<begin>\^)|(?P<end>\$)|(?P<any>\.)|(?P<plain>[^\\\[(\"])"
)
_MEANT = {"begin": r'(?<=[^\\]")', "end": '(?=")', "any": r'(?:[^"\\]|\\.)', "group": "(?:"}


def scanner_file(names: Iterable[str]) -> tuple[str, list[str]]:
    """A file for filter.d/kumomta.d that makes scanners of `names`, and what is left out.

    `names` are expressions for the name in EHLO, as in etc/scanners.toml. Those are left out that
    might reach over the end of the name: look-around, negated sets, classes such as `\\S`.
    """
    taken: list[str] = []
    left: list[str] = []
    for name in names:
        inside = _inside_json(name)
        if inside is None:
            left.append(name)
        else:
            taken.append(inside)
    text = "|".join(dict.fromkeys(taken)).replace("%", "%%")
    return f"{_HEAD.splitlines()[0]}\n\n[Definition]\n\n_own_scanner = {text or '(?!)'}\n", left


def _inside_json(expression: str) -> str | None:
    """`expression`, made for a text, so that it is right for that text inside a JSON string."""
    parts, at = [], 0
    while at < len(expression):
        piece = _PIECE.match(expression, at)
        if piece is None or piece.lastgroup is None:
            return None
        parts.append(_MEANT.get(piece.lastgroup, piece[0]))
        at = piece.end()
    found = "".join(parts)
    try:
        re.compile(found)
    except re.error:
        return None
    return None if " ;" in found else found
