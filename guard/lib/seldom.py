"""Says what strangers can make happen at once, and then only now and then, with how often it was.

They choose how often it happens; they must not choose how long the log gets. Time is an argument.
"""

from __future__ import annotations

from collections.abc import Callable

_KINDS = 64


class Seldom:
    """Hands messages to `say`: of each kind one at once, then one every `every` seconds."""

    def __init__(self, say: Callable[[str], object], every: float = 10.0) -> None:
        self._say, self._every = say, every
        self._said: dict[str, tuple[float, int]] = {}

    def tell(self, kind: str, message: str, now: float) -> None:
        """`message` happened at `now`, seconds of any clock. Kinds are few and not a stranger's."""
        since, more = self._said.get(kind, (float("-inf"), 0))
        if since <= now < since + self._every:
            self._said[kind] = since, more + 1
            return
        if len(self._said) >= _KINDS:
            self._said.clear()
        self._said[kind] = now, 0
        self._say(f"{message} (and {more} times more)" if more else message)
