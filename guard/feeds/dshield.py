"""DShield's block list: the twenty /24 that attack most. Columns: first, last, prefix length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from guard.feeds.recipe import Common, Listed, Part, Recipe
from guard.feeds.text import Collector, decoded

URL = "https://feeds.dshield.org/block.txt"
CREDIT = "SANS Internet Storm Center, https://www.dshield.org/, CC BY-NC-SA"


def parse(data: bytes) -> Listed:
    """The list; its own header and comments are passed over."""
    found = Collector()
    for line in decoded(data).splitlines():
        words = line.split()
        if not words or words[0].startswith("#") or words[0].lower() == "start":
            continue
        found.add(f"{words[0]}/{words[2]}" if len(words) > 2 else words[0])
    return found.listed()


@dataclass(frozen=True, kw_only=True)
class DshieldSettings(Common):
    """`url` may be a mirror's."""

    type: Literal["dshield"] = "dshield"
    url: str = URL

    def recipe(self) -> Recipe:
        """How it is followed."""
        part = Part(self.url, parse)
        return self.recipe_of(self.type, (part,), least=3600.0, credit=CREDIT)
