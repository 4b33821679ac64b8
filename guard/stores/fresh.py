"""Which signs of good standing are news: a busy peer is written once an hour, not once a mail."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from guard.events import Good
from guard.lib.networks import Network

AGAIN = 3600.0
MOST = 100_000


class Fresh:
    """Remembers what was written last. Forgetting some costs a write, never a sign."""

    def __init__(self) -> None:
        self._written: OrderedDict[Network, float] = OrderedDict()

    def news(self, goods: Iterable[Good]) -> list[Good]:
        """The newest of each network in `goods` that is an hour newer than what was written."""
        newest: dict[Network, Good] = {}
        for good in goods:
            held = newest.get(good.network)
            if held is None or good.time > held.time:
                newest[good.network] = good
        written = self._written
        return [g for n, g in newest.items() if not written.get(n, -AGAIN) > g.time - AGAIN]

    def wrote(self, goods: Iterable[Good]) -> None:
        """`goods` are in the store now."""
        for good in goods:
            self._written[good.network] = good.time
            self._written.move_to_end(good.network)
        while len(self._written) > MOST:
            self._written.popitem(last=False)
