"""Any list, at a URL or in a file: text, a column of CSV, or places in JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from guard.feeds.recipe import Common, Listed, Part, Recipe
from guard.feeds.text import parse_columns, parse_json, parse_lines
from guard.lib.fields import FilePath


@dataclass(frozen=True, kw_only=True)
class PlainSettings(Common):
    """Either `url` or `path`. `column` makes it CSV, `json` JSON, `level` asks for a count."""

    type: Literal["plain"] = "plain"
    url: str = ""
    path: FilePath | None = None
    column: str = ""
    json: tuple[str, ...] = ()
    level: int = 0

    def faults(self) -> Iterator[tuple[str, str]]:
        """What no single value shows: (key, message)."""
        yield from super().faults()
        if not self.name:
            yield "name", "is missing: a plain list has no name of its own"
        if bool(self.url) == bool(self.path):
            yield "url", "give either url or path"
        if [bool(self.column), bool(self.json), self.level > 0].count(True) > 1:
            yield "column", "only one of column, json and level can be set"

    def recipe(self) -> Recipe:
        """How it is followed."""
        part = Part(self.url or f"file://{self.path}", self._parser())
        return self.recipe_of(self.type, (part,))

    def _parser(self) -> Callable[[bytes], Listed]:
        if self.column:
            return partial(parse_columns, column=self.column)
        if self.json:
            return partial(parse_json, paths=self.json)
        return partial(parse_lines, level=self.level)
