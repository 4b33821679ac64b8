"""Mail that was accepted, until it is sure that it was not refused after all.

KumoMTA logs a Reception with code 250 at the end of every message, and only then decides whether
to relay it: for a domain with log_oob or log_arf, whoever sends mail for anybody gets a Reception
and right after it a Rejection (reference: smtp_server.rs, process_data). Such a Reception must not
vouch for its sender. The two may come from different files and some time apart, so a Reception
counts after a while, and not at all where its sender was refused relaying within seconds of it.

Bounded; what finds no room vouches for nobody.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from guard.events import Acceptance, Event, Good, Kind, Rejection
from guard.lib.networks import Network

HOLD = 300.0
NEAR = 5.0
MOST = 100_000
OFTEN = 60.0  # one sign a minute says as much as a thousand, and costs less


class Doubt:
    """Holds acceptances of mail back for `hold` seconds. All others are sure at once."""

    def __init__(self, hold: float = HOLD, near: float = NEAR, most: int = MOST) -> None:
        self._hold, self._near, self._most = hold, near, most
        # Each with its time, and when it is sure: so long after it was read, not after it was.
        self._held: OrderedDict[tuple[Network, int], tuple[float, float]] = OrderedDict()
        self._refused: OrderedDict[Network, float] = OrderedDict()
        self._newest = 0.0
        self._last: dict[str, dict[str, float]] = {"mail": {}, "auth": {}, "delivery": {}}

    def sure(
        self,
        events: Sequence[Event],
        key: Callable[[str], Network | None],
        now: float | None,
    ) -> list[Good]:
        """What of `events`, and of those before, vouches for a network by now.

        `now` None takes the time of the newest event. Safe to call again with the same events.
        """
        goods: list[Good] = []
        newest = now if now is not None else self._newest
        for event in events:
            time = event.time if now is None else min(event.time, now)
            newest = max(newest, time)
            if type(event) is Acceptance:
                if self._often(event.how, event.address, time):
                    continue
                network = key(event.address)
                if network is None:
                    continue
                if event.how == "mail":
                    self._hold_back(network, time, newest)
                else:
                    goods.append(Good(network, time, event.how))
            elif type(event) is Rejection and event.kind is Kind.RELAY_DENIED:
                self._refuse(key(event.address), time)
        self._newest = newest
        return goods + self._release(newest)

    def keep(self, goods: Sequence[Good]) -> None:
        """Takes back what nobody could be told of; the next `sure` gives it again."""
        for good in reversed(goods):
            where = good.network, self._slot(good.time)
            self._held[where] = good.time, good.time
            self._held.move_to_end(where, last=False)

    def _often(self, how: str, address: str, time: float) -> bool:
        """Whether the same was heard within the minute before `time`."""
        last = self._last.setdefault(how, {})
        if 0 < time - last.get(address, 0.0) < OFTEN:
            return True
        if len(last) >= self._most:
            last.clear()
        last[address] = time
        return False

    def _slot(self, time: float) -> int:
        return int(time // self._near)

    def _hold_back(self, network: Network, time: float, newest: float) -> None:
        if abs(self._refused.get(network, float("-inf")) - time) > self._near:
            self._held.setdefault((network, self._slot(time)), (time, newest + self._hold))
            if len(self._held) > self._most:
                self._held.popitem(last=False)

    def _refuse(self, network: Network | None, time: float) -> None:
        """Drops what was held near `time`, and remembers it for what is read later."""
        if network is None:
            return
        slot = self._slot(time)
        for number in (slot - 1, slot, slot + 1):
            self._held.pop((network, number), None)
        self._refused[network] = time
        if len(self._refused) > self._most:
            self._refused.popitem(last=False)

    def _release(self, newest: float) -> list[Good]:
        """What is sure by now, in the order in which it was read."""
        goods: list[Good] = []
        while self._held:
            (network, slot), (time, due) = next(iter(self._held.items()))
            if due > newest:
                break
            del self._held[network, slot]
            goods.append(Good(network, time, "mail"))
        return goods
