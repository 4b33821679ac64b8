"""Feeds that are text files of one entry a line: only URL, level and pace differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from guard.feeds.recipe import Common, Part, Recipe
from guard.feeds.text import parse_lines
from guard.lib.fields import Duration

HOUR = 3600.0
GITHUB = "https://raw.githubusercontent.com/"


@dataclass(frozen=True, kw_only=True)
class MxrouteSettings(Common):
    """MXroute's botnet list. It changes rarely and then by half: a purge is taken in a day."""

    type: Literal["mxroute"] = "mxroute"
    url: str = GITHUB + "mxroute/da_server_updates/master/sec/botnet.list"

    def recipe(self) -> Recipe:
        """How it is followed."""
        part = Part(self.url, parse_lines)
        return self.recipe_of(self.type, (part,), least=HOUR, credit="MXroute")


@dataclass(frozen=True, kw_only=True)
class BlocklistDeSettings(Common):
    """blocklist.de: who attacked mail servers in the last 48 hours, renewed every half hour."""

    type: Literal["blocklist-de"] = "blocklist-de"
    url: str = "https://lists.blocklist.de/lists/mail.txt"
    every: Duration = 2 * HOUR

    def recipe(self) -> Recipe:
        """How it is followed."""
        part = Part(self.url, parse_lines)
        credit = "blocklist.de, https://www.blocklist.de/"
        return self.recipe_of(self.type, (part,), least=HOUR / 2, credit=credit)


@dataclass(frozen=True, kw_only=True)
class FireholSettings(Common):
    """FireHOL level 1. It holds private space and loopback, which are removed as everywhere."""

    type: Literal["firehol"] = "firehol"
    url: str = GITHUB + "firehol/blocklist-ipsets/master/firehol_level1.netset"

    def recipe(self) -> Recipe:
        """How it is followed."""
        part = Part(self.url, parse_lines)
        return self.recipe_of(self.type, (part,), least=HOUR, credit="FireHOL and its sources")


@dataclass(frozen=True, kw_only=True)
class IpsumSettings(Common):
    """ipsum: addresses with the number of lists that hold them; `level` is how many it takes."""

    type: Literal["ipsum"] = "ipsum"
    url: str = GITHUB + "stamparm/ipsum/master/ipsum.txt"
    level: int = 3

    def faults(self) -> Iterator[tuple[str, str]]:
        """What no single value shows: (key, message)."""
        yield from super().faults()
        if self.level < 1:
            yield "level", "must be at least 1"

    def recipe(self) -> Recipe:
        """How it is followed."""
        part = Part(self.url, partial(parse_lines, level=self.level))
        return self.recipe_of(self.type, (part,), least=HOUR, credit="stamparm/ipsum")


@dataclass(frozen=True, kw_only=True)
class ScannersSettings(Common):
    """Ranges of those who scan the whole Internet and say so, one file per organisation."""

    type: Literal["scanners"] = "scanners"
    urls: tuple[str, ...]

    def faults(self) -> Iterator[tuple[str, str]]:
        """What no single value shows: (key, message)."""
        yield from super().faults()
        if not self.urls:
            yield "urls", "is empty"

    def recipe(self) -> Recipe:
        """How it is followed."""
        parts = tuple(Part(url, parse_lines) for url in self.urls)
        return self.recipe_of(self.type, parts, least=HOUR)
