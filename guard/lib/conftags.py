"""The second half of fail2ban's dialect: `name[option=value]` and `<tag>`.

A filter or action file has its options in `[Definition]`, the ones meant to be changed in `[Init]`,
and a jail passes others in brackets; passed goes before Init before Definition. A `<tag>` is
replaced by the option of that name, as often as there is one to replace, so that `<re-<mode>>`
works; a tag without an option (`<HOST>`) stays as it is.

Trusts nothing about sizes: a text that grows beyond a mebibyte or refers to itself is refused.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from guard.lib.conffile import Conf, Unresolved, layers, load

_MAX_REPEATS = 25
_MAX_TEXT = 1024 * 1024
_TAG = re.compile(r"<([^ <>]+)>")
_CALL = re.compile(r"([^\[]+?)\s*(?:\[(.*)\])?\s*", re.DOTALL)
_PASSED = re.compile(
    r"""\s*(?P<name>[\w.-]+(?:\?\w+=\w+)?)=(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>(?!["'])[^,\]]*))"""
    r"(?:,|\]\s*\[|\s*\Z)",
    re.DOTALL,
)
_PLAIN_NAME = re.compile(r"[\w][\w.-]*")


def split_call(text: str) -> tuple[str, dict[str, str]]:
    """The name and the options of `name[a=1, b="2,3"][c=4]`. Raises ValueError."""
    call = _CALL.fullmatch(text)
    if call is None:
        raise ValueError(f"{text!r} is not a name, or a name[option=value, ...]")
    passed, at, rest = {}, 0, call[2] or ""
    while rest[at:].strip(" \n,"):
        found = _PASSED.match(rest, at)
        if found is None:
            raise ValueError(f"expected option=value at {rest[at:][:30]!r}")
        value = next(v for v in (found["double"], found["single"], found["bare"]) if v is not None)
        passed[found["name"]] = value.strip()
        at = found.end()
    return call[1].strip(), passed


def join_call(name: str, passed: Mapping[str, str]) -> str:
    """One spelling for every way to write the same call: options sorted, quoted where needed."""
    if not passed:
        return name
    parts = []
    for option, value in sorted(passed.items()):
        quote = "'" if '"' in value else '"' if re.search(r"[,\]\s']", value) else ""
        parts.append(f"{option}={quote}{value}{quote}")
    return f"{name}[{', '.join(parts)}]"


class Definition:
    """One filter or action file, with what a jail passes to it."""

    def __init__(self, conf: Conf, passed: Mapping[str, str] | None = None) -> None:
        self.conf = conf
        self._given = dict(passed or {})
        if "logtype" not in self._given and "logtype" not in conf.sections.get("Definition", {}):
            self._given["logtype"] = "file"

    def get(self, option: str) -> str | None:
        """The text of `option` with everything replaced, or None where there is none.

        Raises Unresolved.
        """
        text = self._lookup(option)
        return None if text is None else self._substitute(text, option)

    def _lookup(self, name: str) -> str | None:
        """The text that `<name>` stands for."""
        if name in self._given:
            return self._given[name]
        init = self.conf.sections.get("Init", {})
        if name.startswith("known/") and name[6:] in init:
            return self.conf.get("Init", name[6:])
        if name in init:
            return self.conf.get("Init", name)
        return self.conf.get_tag("Definition", name, self._given)

    def _substitute(self, text: str, option: str) -> str:
        uses: Counter[str] = Counter()
        changed = True
        while changed:
            changed, at = False, 0
            while tag := _TAG.search(text, at):
                value = self._lookup(tag[1])
                if value is None:
                    at = tag.end()
                    continue
                uses[tag[1]] += 1
                text = text.replace(tag[0], value)
                if uses[tag[1]] > _MAX_REPEATS or tag[1] == option or len(text) > _MAX_TEXT:
                    raise Unresolved(f"<{tag[1]}> in {option} refers to itself")
                changed, at = True, tag.start()
        return text


def find_definition(name: str, folders: tuple[Path, ...]) -> Conf | None:
    """The file `name` of the first folder that has one, with its `.local` and includes.

    Raises ValueError for a name that is a path: a jail file must not reach out of its folders.
    """
    if not _PLAIN_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a filter file")
    for folder in folders:
        files = layers(folder / name)
        if files:
            return load(files)
    return None
