"""Whether a list that was fetched can be believed. Pure; time is an argument.

Lists get cut off, vanish, turn into a page for people, and halve. One that is odd is refused and
the old one stays; one that stays odd in the same way is taken, for real purges happen too.
"""

from __future__ import annotations

import msgspec

from guard.feeds.recipe import BadFeed, Limits, Listed
from guard.lib.networks import Network
from guard.lib.prefixes import Prefixes

SMALL = 50  # below this many entries any change of number is normal
ALIKE = 0.1


class Odd(msgspec.Struct, frozen=True):
    """A number of entries that is hard to believe, first seen at `since`."""

    since: float
    count: int


class OddFeed(BadFeed):
    """Too many or too few entries at once; `odd` is to be remembered."""

    def __init__(self, text: str, odd: Odd) -> None:
        super().__init__(text)
        self.odd = odd


def check(listed: Listed, limits: Limits, protected: Prefixes) -> None:
    """Raises BadFeed unless the list can be believed by itself."""
    count = len(listed.networks)
    total = count + listed.bad
    if listed.bad > limits.bad_share * total:
        raise BadFeed(f"{listed.bad} of {total} entries cannot be read, such as {listed.sample!r}")
    if count < limits.min_entries:
        raise BadFeed("is empty" if not count else f"has only {count} entries")
    if count > limits.max_entries:
        raise BadFeed(f"has {count} entries, more than {limits.max_entries}")
    for network in listed.networks:
        if too_wide(network, limits) and not protected.covers(network):
            raise BadFeed(f"{network} is wider than /{_widest(network, limits)}")


def check_change(count: int, last: int | None, odd: Odd | None, limits: Limits, now: float) -> None:
    """Raises OddFeed when `count` entries are no believable successor of `last`.

    What has been as odd for as long as `limits.patience` is believed.
    """
    if last is None or max(count, last) < SMALL:
        return
    if limits.shrink * last <= count <= limits.growth * last:
        return
    same = odd is not None and abs(count - odd.count) <= ALIKE * odd.count
    since = odd.since if odd is not None and same else now
    if same and not since <= now < since + limits.patience:
        return
    word = "shrank" if count < last else "grew"
    raise OddFeed(f"{word} from {last} entries to {count} at once", Odd(since, count))


def too_wide(network: Network, limits: Limits) -> bool:
    """Whether no list should hold so wide a block."""
    return network.length < _widest(network, limits)


def _widest(network: Network, limits: Limits) -> int:
    return limits.widest[0 if network.version == 4 else 1]
