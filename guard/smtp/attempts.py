"""How often an address may fail to log in, within a window of time.

Only different guesses count: a phone that goes on with the password of yesterday is one failure
however often it tries, and does not lock its owner out. Guesses are kept as keyed fingerprints
that are worth nothing outside this service, of which every process hears what the others heard.
Time is an argument; memory is bounded.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict

from guard.lib.networks import Network
from guard.lib.shared import Board
from guard.smtp.limits import holder
from guard.smtp.sharing import number

_ADDRESSES = 10_000


class Attempts:
    """Guesses of each address (IPv6: each /64) in the last `window` seconds."""

    def __init__(
        self, limit: int, window: float, size: int = _ADDRESSES, board: Board | None = None
    ) -> None:
        """`board` is where the processes of one listener tell each other."""
        self._limit, self._window, self._size = limit, window, size
        self._board = board
        self._key = board.key if board else secrets.token_bytes(32)
        self._guesses: OrderedDict[int, dict[int, float]] = OrderedDict()

    def exhausted(self, address: Network, now: float) -> bool:
        """Whether `address` has to wait before it may try again."""
        if self._board:
            for who, guess, at in self._board.notes():
                self._add(who, guess, at / 1000)
        guesses = self._guesses.get(number(holder(address)))
        return guesses is not None and self._live(guesses, now) >= self._limit

    def failed(self, address: Network, user: str, password: str, now: float) -> None:
        """`address` guessed wrong."""
        who = number(holder(address))
        said = f"{len(user)}:{user}{password}".encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(said, key=self._key, digest_size=8).digest()
        guess = int.from_bytes(digest, "big")
        self._add(who, guess, now)
        if self._board:
            self._board.note(who, guess, int(now * 1000))

    def _add(self, who: int, guess: int, at: float) -> None:
        guesses = self._guesses.setdefault(who, {})
        self._guesses.move_to_end(who)
        guesses[guess] = max(at, guesses.get(guess, at))
        self._live(guesses, at)
        while len(self._guesses) > self._size:
            self._guesses.popitem(last=False)

    def _live(self, guesses: dict[int, float], now: float) -> int:
        for guess in [guess for guess, at in guesses.items() if at <= now - self._window]:
            del guesses[guess]
        # No more than `limit` say anything: the oldest give way.
        while len(guesses) > self._limit:
            del guesses[min(guesses, key=guesses.__getitem__)]
        return len(guesses)
