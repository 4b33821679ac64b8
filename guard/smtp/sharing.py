"""The limits of a listener that is several processes: each counts its own, and sees the others'.

Between processes a limit may be passed by those who come in the same moment: by one for each other
process at the most. What is shared holds 65,536 clients of each process within two minutes; those
beyond are counted by their process alone.
"""

from __future__ import annotations

from guard.lib.networks import Network
from guard.lib.shared import Board
from guard.smtp.limits import Gate, holder
from guard.smtp.settings import ListenerSettings

CONNECTIONS, HELD = 0, 1  # words of the board


def number(who: Network) -> int:
    """A client, an IPv4 address or a /64, as a number of 64 bits that is not 0."""
    # ffff::/16 is multicast, and 0 is where ::1 is: neither is another client.
    return who.value >> 64 or 1 if who.version == 6 else 0xFFFF << 48 | who.value


class SharedGate(Gate):
    """Counts what this process has let in, for all of them."""

    def __init__(self, board: Board) -> None:
        super().__init__()
        self._board = board
        self._have: dict[int, int] = {}

    def enter(
        self, address: Network, total: int, now: float, settings: ListenerSettings
    ) -> str | None:
        """As Gate's. `total` counts the connections of all processes."""
        if total > settings.max_connections - settings.max_connections // 10:
            return "max_connections"
        who = number(holder(address))
        held, recent = self._board.seen(who, now)
        here = self._have.get(who, 0)
        if held + here >= settings.max_connections_per_address:
            return "max_connections_per_address"
        came = self._newcomer(holder(address), now) + recent
        if came > settings.max_sessions_per_minute:
            self._board.came(who, now, here)
            return "max_sessions_per_minute"
        self._have[who] = here + 1
        self._board.came(who, now, here + 1)
        return None

    def leave(self, address: Network) -> None:
        """As Gate's."""
        who = number(holder(address))
        here = self._have.pop(who) - 1
        if here:
            self._have[who] = here
        self._board.holds(who, here)
