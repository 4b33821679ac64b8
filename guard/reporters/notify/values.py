"""What is told: a ban, an un-ban, a test, or a digest of many. Frozen values.

Made of what Guard itself decided: networks, names of jails and lists, counts, times. The one text
that is no number is the reason of a claim: Guard's own words, or those that an operator gave to
`guard ban`. Nothing that a peer wrote is here, so that nothing can be told of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from guard.lib.networks import Network

Happening = Literal["ban", "unban", "test"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing that happened at `time`.

    Of an un-ban, `source`, `reason`, `since` and `until` are those of the ban that it ends; it was
    `lifted` when it ended before its time. A test has none of them.
    """

    event: Happening
    time: float
    network: Network | None = None
    source: str = ""
    reason: str = ""
    since: float = 0.0
    until: float | None = None
    strikes: int = 0
    lifted: bool = False


class Count(NamedTuple):
    """So many of what has this name."""

    name: str
    number: int


class Often(NamedTuple):
    """A network, how often it was banned in this digest, and its strikes at the last of them."""

    network: str
    bans: int
    strikes: int


class FeedChange(NamedTuple):
    """How many networks came to a list and went from it."""

    name: str
    came: int
    went: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """What happened from `since` to `time`. Counts are exact; `top` has the worst few networks.

    `sources` counts bans by who made them, `kinds` rejections by kind. `lost` is how many notices
    could not be kept until they were told.
    """

    since: float
    time: float
    bans: int = 0
    unbans: int = 0
    sources: tuple[Count, ...] = ()
    kinds: tuple[Count, ...] = ()
    top: tuple[Often, ...] = ()
    feeds: tuple[FeedChange, ...] = ()
    lost: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """Something to tell, by an `id` that stays the same however often it is sent.

    `host` is which Guard tells it; empty leaves it out.
    """

    id: str
    host: str
    what: Notice | Digest
