"""What each address was refused of late, in case it gets banned: kinds and counts, no words.

In memory and bounded: what is forgotten makes a report less exact, never wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from guard.events import Event, Rejection
from guard.lib.networks import Network, parse_address

MOST = 50_000
IDLE = 86400.0


class Deeds(NamedTuple):
    """How often each kind was refused (a line of a text log has none), and to whom last."""

    kinds: dict[str, int]
    address: str


class Seen:
    """Counts by the network that `key` says an address is counted under."""

    def __init__(self, key: Callable[[Network], Network], *, most: int = MOST) -> None:
        self._key, self._most = key, most
        self._plain = key(parse_address("192.0.2.1")).is_address  # the text is the key, mostly
        self._held: dict[str, tuple[dict[str, int], str, float]] = {}

    def heard(self, events: Iterable[Event]) -> None:
        """Counts the rejections among `events`."""
        for event in events:
            if isinstance(event, Rejection):
                self._count(event)

    def _count(self, event: Rejection) -> None:
        address = event.address
        try:
            name = address if self._plain and ":" not in address else self._name(address)
        except ValueError:
            return
        held = self._held.get(name)
        if held is None or event.time - held[2] > IDLE:
            if len(self._held) >= self._most:
                self._forget()
            kinds: dict[str, int] = {}
        else:
            kinds = held[0]
        if event.kind is not None:
            kinds[event.kind] = kinds.get(event.kind, 0) + event.count
        self._held[name] = (kinds, address, event.time)

    def _name(self, address: str) -> str:
        return str(self._key(parse_address(address)))

    def _forget(self) -> None:
        """Drops the tenth that came first."""
        for name in list(self._held)[: max(1, self._most // 10)]:
            del self._held[name]

    def deeds(self, network: Network) -> Deeds | None:
        """What is known of who is counted under `network`."""
        held = self._held.get(str(network))
        return None if held is None else Deeds(dict(held[0]), held[1])

    def forget(self, network: Network) -> None:
        """Begins anew for `network`."""
        self._held.pop(str(network), None)

    def __len__(self) -> int:
        return len(self._held)
