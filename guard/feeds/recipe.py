"""A feed as a value: where its parts are, how they are read, and what is too odd to believe.

    fetch -> parse -> check -> subtract what is protected -> collapse -> replace its claims

Each kind of feed is a small file that turns its settings into a Recipe; sync.py does the rest, the
same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from guard.lib.fields import Duration
from guard.lib.networks import Network

MIB = 1 << 20


class BadFeed(ValueError):
    """What was fetched is not the list that it should be; the old one stays."""


@dataclass(frozen=True, slots=True)
class Listed:
    """What one part says. `bad` entries could not be read, `sample` is the first of them.

    `notice`, `terms` and `stamp` are the source's own words and time, to be kept and shown.
    """

    networks: list[Network]
    bad: int = 0
    sample: str = ""
    notice: str = ""
    terms: str = ""
    stamp: float | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One URL or file of a feed. `secret` headers are sent to this URL's host only."""

    url: str
    parse: Callable[[bytes], Listed]
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """Beyond these a list is refused. `shrink` and `growth` are factors of the last good count."""

    min_entries: int = 1
    max_entries: int = 1_000_000
    widest: tuple[int, int] = (10, 24)
    shrink: float = 0.5
    growth: float = 3.0
    patience: float = 86400.0
    bad_share: float = 0.05


@dataclass(frozen=True, slots=True)
class Recipe:
    """A feed, ready to be followed. Times in seconds.

    `every` is how often it is fetched, `least` what its owner allows at most; `outlive` is how long
    its claims hold when the source is gone. `everything` closes every port to what it lists.
    """

    name: str
    parts: tuple[Part, ...]
    limits: Limits
    every: float
    least: float
    outlive: float
    action: str = "block"
    jail: str = ""
    score: int = 0
    dry_run: bool = False
    everything: bool = False
    timeout: float = 30.0
    max_size: int = 64 * MIB
    contact: str = ""
    proxy: str = ""
    credit: str = ""


@dataclass(frozen=True, kw_only=True)
class Common:
    """Settings of every `[[feed]]`. What a kind adds is in its own file.

    `action` "score" blocks nobody: a rejection of a listed address counts as `score` in `jail`
    (empty: in every jail). `ports` "all" closes every port to what is listed, not only those of
    `[firewall]`.
    """

    name: str = ""
    every: Duration = 86400.0
    action: Literal["block", "score"] = "block"
    jail: str = ""
    score: int = 2
    outlive: Duration = 7 * 86400.0
    dry_run: bool = False
    ports: Literal["firewall", "all"] = "firewall"
    min_entries: int = 1
    max_entries: int = 1_000_000
    widest_ipv4: int = 10
    widest_ipv6: int = 24
    shrink: float = 0.5
    growth: float = 3.0
    patience: Duration = 86400.0
    timeout: Duration = 30.0
    max_size: int = 64 * MIB
    contact: str = ""
    proxy: str = ""

    def faults(self) -> Iterator[tuple[str, str]]:
        """What no single value shows: (key, message)."""
        if self.name and not _plain(self.name):
            yield "name", f"{self.name!r} may have letters, digits, dots and dashes only"
        if self.every < 60:
            yield "every", "must be at least 1m"
        if self.outlive < self.every:
            yield "outlive", "must be at least as long as `every`"
        if not 0 <= self.widest_ipv4 <= 32 or not 0 <= self.widest_ipv6 <= 128:
            yield "widest_ipv4", "prefix lengths go up to 32, and to 128 in widest_ipv6"
        if not 0 <= self.shrink <= 1 <= self.growth:
            yield "shrink", "must lie between 0 and 1, and growth must be at least 1"
        if self.score < 1:
            yield "score", "must be at least 1"

    def recipe_of(
        self,
        name: str,
        parts: tuple[Part, ...],
        *,
        least: float = 0.0,
        credit: str = "",
        strict: bool = False,
    ) -> Recipe:
        """The recipe of these settings; `strict` takes no entry that cannot be read."""
        limits = Limits(
            self.min_entries,
            self.max_entries,
            (self.widest_ipv4, self.widest_ipv6),
            self.shrink,
            self.growth,
            self.patience,
            0.0 if strict else 0.05,
        )
        return Recipe(
            self.name or name,
            parts,
            limits,
            max(self.every, least),
            least,
            self.outlive,
            self.action,
            self.jail,
            self.score,
            self.dry_run,
            self.ports == "all",
            self.timeout,
            self.max_size,
            self.contact,
            self.proxy,
            credit,
        )


def _plain(name: str) -> bool:
    return name.isascii() and name.replace("-", "").replace(".", "").replace("_", "").isalnum()
