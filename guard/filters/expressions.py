"""One failregex: fail2ban's tags turned into a pattern that is searched within a time limit.

A filter is shared among strangers, and its lines are written by strangers: together they can keep
a back-tracking engine busy for hours (GHSA-33wh-ccjc-p397 is one such pair in fail2ban's own
filters). So every search has a deadline, which Python's `re` cannot have; the `regex` library
speaks the same dialect and can. An expression that ran into it rests for a while (rest.py). Most
lines never get that far: an expression says which literal text a match must contain, and a line
without it is not searched at all.

Source of the tags: jail.conf(5), "FILTER FILES", and fail2ban 1.0 to 1.1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import count

import regex

from guard.filters.literals import needed_literal
from guard.filters.rest import DEADLINE, Expired

_IP4 = r"(?:::f{4,6}:)?(?P<ip4>(?:\d{1,3}\.){3}\d{1,3})"
_IP6 = r"(?P<ip6>(?:[0-9a-fA-F]{1,4}::?|::){1,7}(?:[0-9a-fA-F]{1,4}|(?<=:):))"
_DNS = r"(?P<dns>[\w\-.^_]*\w)"
_ADDR = rf"\[?(?:{_IP4}|{_IP6})\]?"
_HOST = rf"(?:{_ADDR}|{_DNS})"
_CIDR = r"(?P<cidr>\d+)"
_TAGS = {
    "HOST": _HOST,
    "ADDR": _ADDR,
    "F-ADDR/": _ADDR,
    "IP4": _IP4,
    "F-IP4/": _IP4,
    "IP6": _IP6,
    "F-IP6/": _IP6,
    "DNS": _DNS,
    "F-DNS/": _DNS,
    "CIDR": _CIDR,
    "F-CIDR/": _CIDR,
    "SUBNET": rf"\[?(?:{_IP4}|{_IP6})(?:/{_CIDR})?\]?",
    "F-SUBNET/": rf"\[?(?:{_IP4}|{_IP6})(?:/{_CIDR})?\]?",
    "F-ID/": r"(?P<fid>\S+)",
    "F-PORT/": r"(?P<fport>\w+)",
}
_RENAMED = {"id": "fid", "port": "fport"}
_TAG = re.compile(r"</?[\w-]+/?>")
_CUSTOM = re.compile(r"<(?P<close>/?)F-(?P<name>[A-Z0-9_-]+)>")
_MERGED = re.compile(r"(?P<how>alt|tuple)_(?P<name>.*?)(?:_\d+)?")
# Flags in the middle, `((?i)..)`, hold for their group; only fail2ban and old Pythons allow them.
_INNER_FLAGS = re.compile(r"(?<!\\)\((?:\?:)?\(\?(?P<flags>[a-z]+)\)")

Groups = dict[str, str | None]
SKIPPED = "skiplines"


class BadExpression(ValueError):
    """An expression that does not compile, or names no address."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression. `source` is what the filter file says."""

    source: str
    pattern: regex.Pattern[str]
    literal: str
    merged: tuple[tuple[str, str, str], ...]

    @property
    def groups(self) -> frozenset[str]:
        """The names of its groups, merged ones under the name they are merged into."""
        return frozenset(self.pattern.groupindex) | {name for _, _, name in self.merged}

    def find(self, text: str) -> regex.Match[str] | None:
        """The first match in `text`. Raises Expired."""
        if self.literal and self.literal not in text:
            return None
        try:
            return self.pattern.search(text, timeout=DEADLINE)
        except TimeoutError:
            raise Expired from None

    def search(self, text: str) -> Groups | None:
        """The named groups of the first match in `text`, or None. Raises Expired."""
        found = self.find(text)
        return None if found is None else self.named(found)

    def named(self, found: regex.Match[str]) -> Groups:
        """The named groups of a match, with those that fail2ban merges merged."""
        groups: Groups = found.groupdict()
        for group, how, name in self.merged:
            if how == "tuple":
                groups[name] = " ".join(filter(None, (groups.get(name), groups[group])))
            elif groups[group] and not groups.get(name):
                groups[name] = groups[group]
        return groups


def compile_expression(source: str, *, multiline: bool = False) -> Expression:
    """One line of failregex, prefregex or ignoreregex, compiled. Raises BadExpression.

    With `multiline` the text that is searched has several lines (multiline.py).
    """
    text = _INNER_FLAGS.sub(r"(?\g<flags>:", _with_tags(source))
    try:
        # Python's own engine first: what it refuses, fail2ban refuses.
        re.compile(text)
        flags = regex.VERSION0 | (regex.MULTILINE if multiline else regex.VERSION0)
        pattern = regex.compile(text, flags)
    except (re.error, regex.error, OverflowError, RecursionError) as error:
        raise BadExpression(f"{error}, in {source!r}") from None
    merged = []
    for group in sorted(pattern.groupindex):
        found = _MERGED.fullmatch(group)
        if found:
            merged.append((group, found["how"], _RENAMED.get(found["name"], found["name"])))
    return Expression(source, pattern, needed_literal(text), tuple(merged))


def _with_tags(source: str) -> str:
    """`source` with every tag that fail2ban knows replaced; others stay as they are."""
    opened: set[str] = set()
    skips = count()

    def replaced(tag: re.Match[str]) -> str:
        if tag[0] == "<SKIPLINES>":
            return rf"\n(?P<{SKIPPED}{next(skips)}>(?:(?:.*\n)*?))"
        known = _TAGS.get(tag[0][1:-1])
        custom = _CUSTOM.fullmatch(tag[0])
        if known is not None or custom is None:
            return tag[0] if known is None else known
        if custom["close"]:
            return ")" if custom["name"] in opened else tag[0]
        opened.add(custom["name"])
        name = custom["name"].lower().replace("-", "_")
        return f"(?P<{_RENAMED.get(name, name)}>"

    return _TAG.sub(replaced, source)
