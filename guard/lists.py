"""Feeds as the daemon and the commands use them: what is slow apart from what needs the ledger.

`step` and `collect` wait for servers and run in any thread, one at a time; what they return is
finished in the thread that owns the ledger.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from guard.feeds.status import FeedStatus, status
from guard.feeds.sync import Feeds, Plan
from guard.roles import BadInput, Ledger, Suspects, Unavailable

log = logging.getLogger("guard.feeds")

FEEDS_EVERY = 10.0  # seconds between two looks at what is due
MOST_SHOWN = 1000


@dataclass(frozen=True)
class Collected:
    """A feed that was brought up to date: what it should claim, and whether anybody was asked."""

    plan: Plan
    asked: bool


class Lists:
    """`feeds` into `ledger`."""

    def __init__(self, feeds: Feeds, ledger: Ledger) -> None:
        self._feeds, self._ledger = feeds, ledger
        self._lock = threading.Lock()
        self._changed: Callable[[str, int, int], object] = lambda feed, came, went: None
        self._known: dict[str, FeedStatus] = {}  # as of the last look; replaced, not changed

    @property
    def suspects(self) -> Suspects | None:
        """What lowers the bar for listed addresses; None where no feed does."""
        return self._feeds.suspects

    @property
    def names(self) -> Sequence[str]:
        """The feeds, as they are configured."""
        return list(self._feeds.recipes)

    def tell(self, changed: Callable[[str, int, int], object]) -> None:
        """Has `changed` told, in the ledger's thread, how many came to a feed and went from it."""
        self._changed = changed

    def _apply(self, plan: Plan, now: float) -> None:
        self._changed(plan.recipe.name, *self._feeds.apply(plan, self._ledger, now))

    def step(self, now: float) -> Callable[[float], object] | None:
        """Does what is due; the rest, for the ledger's thread, or None when there is nothing."""
        with self._lock:
            plans = self._feeds.step(now)
        if not plans:
            self._look()
            return None

        def finish(then: float) -> None:
            for plan in plans:
                self._apply(plan, then)
            self._look()

        return finish

    def brief(self, now: float) -> list[dict[str, Any]]:
        """A row for each feed, for `guard status` and the metrics. Asks nobody."""
        return [
            {
                "name": name,
                "entries": known.entries,
                "blocks": known.networks,
                "left out": sum(known.removed.values()),
                "age": None if known.fetched is None else round(now - known.fetched),
                "next": None if known.next is None else max(0, round(known.next - now)),
                "faults": len(known.faults),
                "held": known.held,
                "why left out": "; ".join(f"{n} {why}" for why, n in known.removed.items()),
                "notice": " ".join(filter(None, (known.notice, known.terms, known.credit))),
            }
            for name, known in self._known.items()
        ]

    def _look(self) -> None:
        recipes = self._feeds.recipes
        try:
            self._known = {n: status(recipe, self._feeds.state(n)) for n, recipe in recipes.items()}
        except Unavailable as error:
            log.debug("%s", error)

    def collect(
        self, feed: str, now: float, *, accept: bool = False, dry_run: bool = False
    ) -> Collected:
        """Fetches one feed now, unless its owner forbids. Raises BadInput for an unknown name."""
        if feed not in self._feeds.recipes:
            known = ", ".join(self.names) or "none is configured"
            raise BadInput(f"there is no feed {feed!r}; there are: {known}")
        with self._lock:
            asked = self._feeds.collect(feed, now, force=True, accept=accept, dry_run=dry_run)
            plan = self._feeds.plan(feed, now, always=True)
        assert plan is not None
        return Collected(plan, asked)

    def finish(self, collected: Collected, now: float, *, dry_run: bool = False) -> dict[str, Any]:
        """Claims what was collected, or with `dry_run` only tells what would change."""
        plan = collected.plan
        found = self._feeds.difference(plan, self._ledger, now)
        if not dry_run:
            self._apply(plan, now)
        return {
            **self.row(plan.recipe.name),
            "asked": collected.asked,
            "dry_run": dry_run,
            "came": len(found.came),
            "went": len(found.went),
            "coming": [str(network) for network in found.came[:MOST_SHOWN]],
            "going": [str(network) for network in found.went[:MOST_SHOWN]],
        }

    def orphans(self, now: float) -> dict[str, int]:
        """Feeds that are no longer configured, with the number of networks they still claim.

        For the thread that owns the ledger, as `forget` is.
        """
        found: Counter[str] = Counter()
        for claim in self._ledger.claims(now):
            kind, _, name = claim.source.partition(":")
            if kind == "feed" and name not in self._feeds.recipes:
                found[name] += 1
        return dict(found)

    def forget(self, feed: str, now: float) -> dict[str, Any]:
        """Ends all claims of a feed that is not configured. Raises BadInput for one that is."""
        if feed in self._feeds.recipes:
            raise BadInput(f"feed {feed!r} is configured; take it out of guard.toml first")
        _, went = self._ledger.replace(f"feed:{feed}", (), now)
        return {"name": feed, "went": went}

    def drop_orphans(self, now: float) -> None:
        """Ends the claims of all feeds that are no longer configured."""
        for name, count in self.orphans(now).items():
            self.forget(name, now)
            log.info("feed %s is no longer configured: %d networks went", name, count)

    def row(self, name: str) -> dict[str, Any]:
        """One feed, as `guard feeds --json` prints it."""
        return asdict(status(self._feeds.recipes[name], self._feeds.state(name)))

    def rows(self) -> list[dict[str, Any]]:
        """All feeds."""
        return [self.row(name) for name in self.names]
