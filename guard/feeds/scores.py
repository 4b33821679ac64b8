"""Lists that block nobody: of who is on one, fewer rejections are enough for a ban."""

from __future__ import annotations

from collections.abc import Iterable

from guard.events import Offence, Suspicion
from guard.feeds.recipe import Recipe
from guard.lib.networks import Network
from guard.lib.prefixes import Prefixes


class Scores:
    """What the lists hold now: the role Suspects. `put` replaces, so that any thread may ask."""

    def __init__(self) -> None:
        self._lists: dict[str, tuple[Recipe, Prefixes]] = {}

    def put(self, recipe: Recipe, networks: Iterable[Network]) -> None:
        """Makes `networks` all that a feed lists."""
        self._lists = {**self._lists, recipe.name: (recipe, Prefixes(networks))}

    def suspicion(self, offence: Offence, maxretry: int) -> Suspicion | None:
        """The role's: a rejection counts for as many as the heaviest list says."""
        score, name = 1, ""
        for recipe, held in self._lists.values():
            if (
                recipe.score > score
                and recipe.jail in ("", offence.jail)
                and held.overlaps(offence.network)
            ):
                score, name = recipe.score, recipe.name
        if not name:
            return None
        return Suspicion(-(-maxretry // score), f"listed by {name}")
