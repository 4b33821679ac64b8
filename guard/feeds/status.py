"""What an operator wants to know of a feed, as values."""

from __future__ import annotations

from dataclasses import dataclass

from guard.feeds.copies import FeedState
from guard.feeds.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedStatus:
    """One feed. Times are seconds since the epoch, None is never.

    `entries` are those of the list, `networks` the blocks that are claimed; `removed` counts the
    entries left out, by why; `faults` are the parts whose last fetch failed; `held` is a list that
    is refused because its size is odd.
    """

    name: str
    action: str
    entries: int
    networks: int
    duplicates: int
    removed: dict[str, int]
    shown: list[tuple[str, str]]
    came: int
    went: int
    fetched: float | None
    changed: float | None
    stamp: float | None
    next: float | None
    earliest: float | None
    faults: list[str]
    held: bool
    credit: str
    notice: str
    terms: str


def status(recipe: Recipe, state: FeedState) -> FeedStatus:
    """Of several parts: the oldest contact, the newest change, the next fetch."""
    parts = [state.parts[part.url] for part in recipe.parts if part.url in state.parts]
    first = next((part for part in parts if part.notice or part.terms), None)
    every = len(parts) == len(recipe.parts)
    return FeedStatus(
        name=recipe.name,
        action="dry run" if recipe.dry_run else recipe.action,
        entries=state.entries,
        networks=state.networks,
        duplicates=state.duplicates,
        removed=state.removed,
        shown=state.shown,
        came=state.came,
        went=state.went,
        fetched=(min((p.fetched for p in parts), default=0.0) or None) if every else None,
        changed=max((p.changed for p in parts), default=0.0) or None,
        stamp=max((p.stamp for p in parts if p.stamp is not None), default=None),
        next=min((p.next for p in parts), default=None) if every else None,
        earliest=min((p.earliest for p in parts), default=None) if every else None,
        faults=[part.error for part in parts if part.error],
        held=any(part.odd is not None for part in parts),
        credit=recipe.credit,
        notice=first.notice if first else "",
        terms=first.terms if first else "",
    )
