"""Lists that block nobody: a rejection of who is on one counts for more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from guard.events import Offence
from guard.feeds.recipe import Recipe
from guard.lib.networks import Network
from guard.lib.prefixes import Prefixes


class Scores:
    """What the lists hold now. `put` replaces, so that `weigh` may run in any thread."""

    def __init__(self) -> None:
        self._lists: dict[str, tuple[Recipe, Prefixes]] = {}

    def put(self, recipe: Recipe, networks: Iterable[Network]) -> None:
        """Makes `networks` all that a feed lists."""
        self._lists = {**self._lists, recipe.name: (recipe, Prefixes(networks))}

    def weigh(self, offences: Sequence[Offence]) -> list[Offence]:
        """`offences`, each for as many rejections as the heaviest list says."""
        lists = list(self._lists.values())
        return [_weighed(offence, lists) for offence in offences]


def _weighed(offence: Offence, lists: Sequence[tuple[Recipe, Prefixes]]) -> Offence:
    factor = max(
        (
            recipe.score
            for recipe, held in lists
            if recipe.jail in ("", offence.jail) and held.overlaps(offence.network)
        ),
        default=1,
    )
    return offence if factor == 1 else offence._replace(rejections=offence.rejections * factor)
