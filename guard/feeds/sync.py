"""Follows every feed: collect (the network), plan (the processor), apply (the ledger).

The three run in different threads, each step by value: `collect` brings the last good copy up to
date, `plan` turns copies into claims, `apply` makes them all that the feed claims. A source that is
down, gone or absurd changes nothing until its claims end, `outlive` after the last good contact.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import SystemRandom

from msgspec.structs import replace

from guard.events import Claim
from guard.feeds import fetch as http
from guard.feeds import schedule
from guard.feeds.checks import OddFeed, check, check_change
from guard.feeds.clean import Cleaned, Shield, clean
from guard.feeds.copies import Copies, FeedState, PartState
from guard.feeds.recipe import BadFeed, Listed, Part, Recipe
from guard.feeds.scores import Scores
from guard.lib.bulk import bulk
from guard.lib.networks import Network
from guard.roles import GuardError, Ledger, Refused, Suspects

log = logging.getLogger("guard.feeds")

TURN = 600.0  # seconds that one host of a fleet has for a fetch
REPLAN = 60.0  # a change of protection is applied to lists no more often; the kernel has it at once
Fetch = Callable[[Part, Recipe, str, str, float], http.Fetched | None]


@dataclass(frozen=True)
class Plan:
    """What a feed should claim now. `key` is what it was made of."""

    recipe: Recipe
    claims: Sequence[Claim]
    cleaned: Cleaned
    key: object = None


@dataclass(frozen=True)
class Difference:
    """What applying a plan would change, or has changed."""

    came: Sequence[Network] = ()
    went: Sequence[Network] = ()


@dataclass
class _Memory:
    """What one process remembers of a feed."""

    applied: object = None
    planned: float = float("-inf")
    parsed: dict[str, tuple[float, Listed]] = field(default_factory=dict)


class Feeds:
    """`recipes` followed, with `copies` and for `shield`. One thread at a time, but for `apply`."""

    def __init__(
        self,
        recipes: Sequence[Recipe],
        copies: Copies,
        shield: Shield,
        *,
        fetch: Fetch = http.fetch,
        chance: Callable[[], float] | None = None,
    ) -> None:
        self.recipes = {recipe.name: recipe for recipe in recipes}
        self._copies, self._shield, self._fetch = copies, shield, fetch
        self._chance = chance or SystemRandom().random
        self._memory = {name: _Memory() for name in self.recipes}
        self._scores = Scores()

    def state(self, name: str) -> FeedState:
        """What is known of a feed."""
        return self._copies.load(name)

    def step(self, now: float) -> list[Plan]:
        """Collects what is due of every feed, and plans those that changed."""
        plans = []
        for name in self.recipes:
            try:
                self.collect(name, now)
                plan = self.plan(name, now)
            except GuardError as error:
                log.warning("feed %s: %s", name, error)
                continue
            if plan is not None:
                plans.append(plan)
        return plans

    # The network ----------------------------------------------------------------------------------

    def collect(
        self,
        name: str,
        now: float,
        *,
        force: bool = False,
        accept: bool = False,
        dry_run: bool = False,
    ) -> bool:
        """Fetches what is due of a feed; whether any part was asked for.

        `force` asks for what is not due, though never sooner than its owner allows; `accept` takes
        a list that is odd; what a `dry_run` fetched waits for a sync. Raises Unavailable when the
        copies cannot be kept.
        """
        recipe = self.recipes[name]
        state = self._copies.load(name)
        waits = force and not dry_run and _waits(state)
        if not waits and not self._due(recipe, state, now, force=force):
            return False
        if not self._copies.lease(name, TURN):
            return False
        try:
            # Whoever had the turn before may have fetched what was due a moment ago.
            state = self._copies.load(name)
            due = self._due(recipe, state, now, force=force)
            for part in due:
                old = state.parts.get(part.url, PartState())
                state.parts[part.url] = self._part(recipe, part, old, now, accept=accept)
            if due or waits:
                _mark(state, now, waits=dry_run)
                self._copies.save(name, state.parts)
        finally:
            self._copies.release(name)
        return bool(due)

    @staticmethod
    def _due(recipe: Recipe, state: FeedState, now: float, *, force: bool) -> list[Part]:
        known = state.parts
        return [p for p in recipe.parts if schedule.due(known.get(p.url), now, force=force)]

    def _part(
        self, recipe: Recipe, part: Part, old: PartState, now: float, *, accept: bool
    ) -> PartState:
        """One part asked for: its new state, with the copy kept where it is new and good."""
        try:
            got = self._fetch(part, recipe, old.etag, old.modified, now)
            if got is None:
                # The list is the good one again: what was odd in between did not last.
                new = replace(old, odd=None)
            else:
                new = self._taken(recipe, part, old, got, now, accept=accept)
        except OddFeed as error:
            return self._failed(recipe, replace(old, odd=error.odd), str(error), now)
        except (BadFeed, Refused) as error:
            return self._failed(recipe, old, str(error), now)
        except http.FetchFailed as error:
            return self._failed(recipe, old, str(error), now, error.wait)
        return schedule.after_success(new, recipe, now, self._chance())

    def _taken(
        self,
        recipe: Recipe,
        part: Part,
        old: PartState,
        got: http.Fetched,
        now: float,
        *,
        accept: bool,
    ) -> PartState:
        """The state with a new copy. Raises BadFeed when it cannot be believed."""
        with bulk():
            listed = part.parse(got.data)
            check(listed, recipe.limits, self._shield.prefixes)
        count = len(listed.networks)
        if not accept:
            check_change(count, old.count, old.odd, recipe.limits, now)
        self._copies.put(recipe.name, part.url, got.data)
        self._memory[recipe.name].parsed[part.url] = (now, listed)
        return replace(
            old,
            etag=got.etag,
            modified=got.modified,
            changed=now,
            count=count,
            bad=listed.bad,
            odd=None,
            notice=listed.notice,
            terms=listed.terms,
            stamp=listed.stamp,
        )

    def _failed(
        self, recipe: Recipe, old: PartState, error: str, now: float, wait: float = 0.0
    ) -> PartState:
        """The state after a failure, which is told when it is a new one."""
        if error != old.error:
            log.warning("feed %s: %s; the last good copy stays", recipe.name, error)
        return schedule.after_failure(old, recipe, error, now, wait, self._chance())

    # The processor --------------------------------------------------------------------------------

    def plan(self, name: str, now: float, *, always: bool = False) -> Plan | None:
        """What the feed should claim; None when that is what was applied already."""
        recipe, state, memory = self.recipes[name], self._copies.load(name), self._memory[name]
        key = self._key(recipe, state, now)
        if (key == memory.applied or _waits(state)) and not always:
            return None
        if memory.applied is not None and not always:
            changed = key[0] != memory.applied[0]  # type: ignore[index]
            if not changed and memory.planned <= now < memory.planned + REPLAN:
                return None
        memory.planned = now
        with bulk():
            found: dict[float, list[Network]] = {}
            for part in recipe.parts:
                known = state.parts.get(part.url)
                until = schedule.until(known, recipe)
                if known is not None and until > now:
                    found.setdefault(until, []).extend(self._listed(recipe, part, known).networks)
            memory.parsed.clear()  # a million entries are not kept between two fetches
            return self._planned(recipe, found, now, key)

    def _key(self, recipe: Recipe, state: FeedState, now: float) -> tuple[object, int]:
        parts = tuple(
            (url, part.changed, until if until > now else 0.0)
            for url, part in sorted(state.parts.items())
            for until in [schedule.until(part, recipe)]
        )
        return parts, getattr(self._shield, "version", 0)

    def _planned(
        self, recipe: Recipe, found: dict[float, list[Network]], now: float, key: object
    ) -> Plan:
        everything = [network for networks in found.values() for network in networks]
        cleaned = clean(everything, self._shield)
        if recipe.action == "score" and not recipe.dry_run:
            self._scores.put(recipe, cleaned.networks)
        if recipe.dry_run or recipe.action != "block":
            return Plan(recipe, (), cleaned, key)
        source, reason = f"feed:{recipe.name}", f"listed by {recipe.name}"
        if len(found) < 2:
            ends = dict.fromkeys(cleaned.networks, max(found, default=0.0))
        else:
            # Parts whose sources were heard of at different times end at different times.
            ends = {}
            for until, networks in sorted(found.items()):
                ends.update(dict.fromkeys(clean(networks, self._shield).networks, until))
        claims = [Claim(network, source, reason, now, until) for network, until in ends.items()]
        return Plan(recipe, claims, cleaned, key)

    def _listed(self, recipe: Recipe, part: Part, state: PartState) -> Listed:
        """The last good copy of a part, parsed; nothing where it is lost."""
        parsed = self._memory[recipe.name].parsed
        held = parsed.get(part.url)
        if held is not None and held[0] == state.changed:
            return held[1]
        data = self._copies.body(recipe.name, part.url)
        try:
            listed = Listed([]) if data is None else part.parse(data)
        except (BadFeed, Refused) as error:
            log.error("feed %s: the copy of %s is spoilt: %s", recipe.name, part.url, error)
            listed = Listed([])
        parsed[part.url] = (state.changed, listed)
        return listed

    @property
    def suspects(self) -> Suspects | None:
        """What lowers the bar for listed addresses; None where no feed does."""
        scores = any(recipe.action == "score" for recipe in self.recipes.values())
        return self._scores if scores else None

    # The ledger -----------------------------------------------------------------------------------

    def difference(self, plan: Plan, ledger: Ledger, now: float) -> Difference:
        """What `apply` would change."""
        source = f"feed:{plan.recipe.name}"
        held = {claim.network for claim in ledger.claims(now) if claim.source == source}
        wanted = {claim.network for claim in plan.claims}
        return Difference(sorted(wanted - held), sorted(held - wanted))

    def apply(self, plan: Plan, ledger: Ledger, now: float) -> tuple[int, int]:
        """Makes the plan all that its feed claims; returns how many came and went.

        The one method for the thread that owns the ledger. Raises Unavailable.
        """
        name, cleaned = plan.recipe.name, plan.cleaned
        came, went = ledger.replace(f"feed:{name}", plan.claims, now)
        self._memory[name].applied = plan.key
        state = FeedState(
            applied=now,
            entries=cleaned.entries,
            networks=len(plan.claims),
            duplicates=cleaned.duplicates,
            came=came,
            went=went,
            removed=cleaned.removed,
            shown=[(str(network), why) for network, why in cleaned.shown],
        )
        self._copies.applied(name, state)
        if came or went:
            log.info(
                "feed %s: %d networks, %d came, %d went, %d entries left out as protected",
                *(name, len(plan.claims), came, went, sum(cleaned.removed.values())),
            )
        return came, went


def _waits(state: FeedState) -> bool:
    return any(part.waits for part in state.parts.values())


def _mark(state: FeedState, now: float, *, waits: bool) -> None:
    """Lets copies wait that are new `now`, or none any more."""
    for part in state.parts.values():
        part.waits = waits and (part.waits or part.changed == now)
