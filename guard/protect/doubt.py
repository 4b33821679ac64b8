"""Mail that was accepted, until it is sure that it was not refused after all.

KumoMTA logs a Reception with code 250 at the end of every message, and only then decides whether
to relay it: for a domain with log_oob or log_arf, whoever sends mail for anybody gets a Reception
and right after it a Rejection (reference: smtp_server.rs, process_data). Such a Reception must not
vouch for its sender. The two may come from different files and some time apart, so a Reception
counts after a while, and not at all where its sender was refused relaying within seconds of it.

Bounded; what finds no room vouches for nobody.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Sequence

from guard.events import Acceptance, Event, Good, Kind, Rejection
from guard.lib.networks import Network

HOLD = 300.0
NEAR = 5.0
MOST = 100_000
OFTEN = 60.0  # one sign a minute says as much as a thousand, and costs less

_DENIED = Kind.RELAY_DENIED


class Doubt:
    """Holds acceptances of mail back for `hold` seconds. All others are sure at once.

    Goes by the address, which a session does not change, and makes networks of what is sure.
    """

    def __init__(self, hold: float = HOLD, near: float = NEAR, most: int = MOST) -> None:
        self._hold, self._near, self._most = hold, near, most
        self._held: dict[str, list[float]] = {}
        # When each is sure: live, so long after it was read, which may be late.
        self._due: deque[tuple[float, str, float, Network]] = deque()
        self._refused: dict[str, float] = {}
        self._last: defaultdict[str, dict[str, float]] = defaultdict(dict)
        self._newest = 0.0

    def sure(
        self,
        events: Sequence[Event],
        key: Callable[[str], Network | None],
        now: float | None,
    ) -> list[Good]:
        """What of `events`, and of those before, vouches for a network by now.

        `now` None takes the time of the newest event. Safe to call again with the same events.
        """
        newest = now if now is not None else max(self._newest, _latest(events))
        bound = float("inf") if now is None else now
        goods: list[Good] = []
        for event in events:
            if type(event) is Acceptance:
                time = min(event.time, bound)
                if self._often(event.how, event.address, time):
                    continue
                network = key(event.address)
                if network is None:
                    continue
                if event.how == "mail":
                    self._hold_back(event.address, network, time, time if now is None else now)
                else:
                    goods.append(Good(network, time, event.how))
        # Only now: what was refused may stand before its Reception, or after it.
        self._refuse(events, bound)
        self._newest = newest
        return goods + self._release(newest)

    def keep(self, goods: Sequence[Good]) -> None:
        """Takes back what nobody could be told of; the next `sure` gives it again."""
        for good in reversed(goods):
            address = str(good.network._replace(length=good.network.bits))
            self._held.setdefault(address, []).append(good.time)
            self._due.appendleft((good.time, address, good.time, good.network))

    def _often(self, how: str, address: str, time: float) -> bool:
        """Whether the same was heard within the minute before `time`."""
        last = self._last[how]
        before = last.get(address)
        if before is not None and 0 < time - before < OFTEN:
            return True
        if len(last) >= self._most:
            last.clear()
        last[address] = time
        return False

    def _hold_back(self, address: str, network: Network, time: float, read: float) -> None:
        before = self._refused.get(address)
        if before is not None and abs(before - time) <= self._near:
            return
        self._held.setdefault(address, []).append(time)
        self._due.append((read + self._hold, address, time, network))
        if len(self._due) > self._most:
            self._forget(*self._due.popleft()[1:3])

    def _refuse(self, events: Sequence[Event], bound: float) -> None:
        """Drops what was held near a refusal, and remembers that for what is read later."""
        refused, held, most = self._refused, self._held, self._most
        for event in events:
            if type(event) is Rejection and event.kind is _DENIED:
                time, address = event.time, event.address
                if time > bound:
                    time = bound
                if len(refused) >= most:
                    refused.clear()
                refused[address] = time
                if address in held:
                    self._drop(address, time)

    def _drop(self, address: str, time: float) -> None:
        """Drops what was held near `time`."""
        rest = [before for before in self._held[address] if abs(before - time) > self._near]
        if rest:
            self._held[address] = rest
        else:
            del self._held[address]

    def _forget(self, address: str, time: float) -> bool:
        """Whether this was held until now."""
        times = self._held.get(address, [])
        if time not in times:
            return False
        times.remove(time)
        if not times:
            del self._held[address]
        return True

    def _release(self, newest: float) -> list[Good]:
        """What is sure by now, in the order in which it was read."""
        goods: list[Good] = []
        due = self._due
        while due and due[0][0] <= newest:
            _, address, time, network = due.popleft()
            if self._forget(address, time):
                goods.append(Good(network, time, "mail"))
        return goods


def _latest(events: Sequence[Event]) -> float:
    return max((event.time for event in (*events[:1], *events[-1:])), default=0.0)
