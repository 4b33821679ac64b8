"""Who is allowed by his reverse name, found out ahead of the ban.

An address that is heard of for the first time is put in a queue and asked for in the background,
so that the answer is known before the address has done enough to be banned; where it comes later,
the protection un-bans at once. The queue and what is known are bounded: a flood of strangers
costs a flood of nothing.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

from guard.lib.networks import Network
from guard.protect.dns import Ask, confirmed
from guard.roles import Unavailable

log = logging.getLogger("guard.protect")

MOST_WAITING, MOST_KNOWN = 1000, 20_000
KEPT_YES, KEPT_NO = 86400.0, 3600.0  # seconds until a name is asked for again
AT_ONCE = 20
_LONG_AGO = float("-inf")


class Reverse:
    """Reverse names, asked for with `ask`. `noticed` is called in any thread, `run` in one."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._waiting: OrderedDict[Network, None] = OrderedDict()
        self._known: OrderedDict[Network, tuple[float, str]] = OrderedDict()

    def remember(self, names: Mapping[str, Iterable[Network]]) -> None:
        """Takes names that were confirmed before a restart for true; they are asked for again."""
        with self._lock:
            for name, some in names.items():
                self._known |= dict.fromkeys(some, (_LONG_AGO, name))

    def confirmed(self) -> dict[str, tuple[Network, ...]]:
        """Who was confirmed, by name: what `remember` takes."""
        found: dict[str, tuple[Network, ...]] = {}
        with self._lock:
            for address, (_, name) in self._known.items():
                if name:
                    found[name] = (*found.get(name, ()), address)
        return found

    def knows(self, address: Network) -> bool:
        """Whether `address` was asked for and is remembered. Takes no lock."""
        return address in self._known

    def noticed(self, address: Network) -> None:
        """Has `address` asked for soon, unless it is known. Never waits."""
        if not address.is_address:
            return
        with self._lock:
            if address not in self._known and len(self._waiting) < MOST_WAITING:
                self._waiting[address] = None

    def run(self, suffixes: Sequence[str], now: float) -> list[tuple[Network, str]]:
        """Asks for some that wait; the addresses whose names end in `suffixes`, with why."""
        with self._lock:
            some = list(self._waiting)[:AT_ONCE]
            for address in some:
                del self._waiting[address]
        for address in some:
            try:
                name = confirmed(address, suffixes, self._ask) or ""
            except Unavailable as error:
                log.debug("%s", error)
                continue
            with self._lock:
                self._known.pop(address, None)
                self._known[address] = (now, name)
        with self._lock:
            self._age(tuple(suffixes), now)
            return [(a, f"allow {name}") for a, (_, name) in self._known.items() if name]

    def _age(self, suffixes: tuple[str, ...], now: float) -> None:
        """Forgets an old no and what is no longer allowed; an old yes holds until asked again."""
        for address, (time, name) in list(self._known.items()):
            fresh = time <= now < time + (KEPT_YES if name else KEPT_NO)
            if name and ("." + name).endswith(suffixes):
                if not fresh:
                    self._waiting[address] = None
            elif name or not fresh:
                del self._known[address]
        while len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
