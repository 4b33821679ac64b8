"""How often an address may fail to log in, within a window of time.

Only different guesses count: a phone that goes on with the password of yesterday is one failure
however often it tries, and does not lock its owner out. Guesses are kept as keyed fingerprints
that are worth nothing outside this process. Time is an argument; memory is bounded.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict

from guard.lib.networks import Network
from guard.smtp.limits import holder

_ADDRESSES = 10_000


class Attempts:
    """Guesses of each address (IPv6: each /64) in the last `window` seconds."""

    def __init__(self, limit: int, window: float, size: int = _ADDRESSES) -> None:
        self._limit, self._window, self._size = limit, window, size
        self._key = secrets.token_bytes(32)
        self._guesses: OrderedDict[Network, dict[bytes, float]] = OrderedDict()

    def exhausted(self, address: Network, now: float) -> bool:
        """Whether `address` has to wait before it may try again."""
        guesses = self._guesses.get(holder(address))
        return guesses is not None and self._live(guesses, now) >= self._limit

    def failed(self, address: Network, user: str, password: str, now: float) -> None:
        """`address` guessed wrong."""
        who = holder(address)
        guesses = self._guesses.setdefault(who, {})
        self._guesses.move_to_end(who)
        guess = f"{len(user)}:{user}{password}".encode("utf-8", "surrogatepass")
        guesses[hashlib.blake2b(guess, key=self._key, digest_size=8).digest()] = now
        self._live(guesses, now)
        while len(self._guesses) > self._size:
            self._guesses.popitem(last=False)

    def _live(self, guesses: dict[bytes, float], now: float) -> int:
        for guess in [guess for guess, at in guesses.items() if at <= now - self._window]:
            del guesses[guess]
        # No more than `limit` say anything: the oldest give way.
        while len(guesses) > self._limit:
            del guesses[min(guesses, key=guesses.__getitem__)]
        return len(guesses)
