"""How much one client may take: the table of limits, and the gate that counts connections.

Who is trusted (relay_hosts, and whoever Guard protects) meets none of them but the number of
connections in all, of which a tenth is kept for the trusted alone. Decides; says and closes
nothing. Time is an argument; memory is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass

from guard.lib.networks import Network
from guard.smtp import replies
from guard.smtp.settings import ListenerSettings

_MINUTE = 60.0
_REMEMBERED = 100_000


@dataclass(frozen=True, slots=True)
class Limit:
    """One row. `reply` has the host name's place in it; without `recorded` it is no rejection."""

    setting: str
    reply: str
    recorded: bool = True


LIMITS = {
    limit.setting: limit
    for limit in (
        # KumoMTA's own, which records neither of the first two.
        Limit(
            "max_connections",
            "421 4.3.2 {} too many concurrent sessions. Try later",
            recorded=False,
        ),
        Limit("client_timeout", "421 4.3.2 {} idle too long", recorded=False),
        Limit("session_timeout", "421 4.3.2 {} session too long", recorded=False),
        Limit("max_connections_per_address", "421 4.7.0 {} too many sessions from your address"),
        Limit("max_sessions_per_minute", "421 4.7.0 {} too many new sessions from your address"),
        Limit("max_commands", "421 4.7.0 {} too many commands"),
        Limit("max_errors", "421 4.7.0 {} too many errors"),
        Limit("max_failed_recipients", "421 4.7.0 {} too many refused recipients"),
    )
}

# What is too big or too many in one command or message: the reply tells which setting it was.
SIZES = {
    replies.TOO_BIG: "max_message_size",
    replies.LINE_TOO_LONG: "line_length_hard_limit",
    replies.AUTH_LINE_TOO_LONG: "line_length_hard_limit",
    replies.TOO_MANY_RECIPIENTS: "max_recipients_per_message",
}
# Every count that a listener keeps: the limits by their settings, and whom it sent away.
COUNTED = (
    *LIMITS,
    *dict.fromkeys(SIZES.values()),
    "max_messages_per_connection",
    "max_auth_failures",
    "max_auth_guesses",
    "blocked",
    "scanner",
    "non_smtp",
)


def holder(address: Network) -> Network:
    """Whom a limit counts: an IPv4 address, or the /64 that an IPv6 one is of."""
    return address if address[0] == 4 else address.supernet(64)


def exceeded(
    settings: ListenerSettings, *, commands: int, errors: int, failed_recipients: int
) -> str | None:
    """The limit that a session has passed, by its setting."""
    if errors >= settings.max_errors:
        return "max_errors"
    if failed_recipients >= settings.max_failed_recipients:
        return "max_failed_recipients"
    return "max_commands" if commands > settings.max_commands else None


class Gate:
    """Counts connections: of all, of each address, and how many are new in a minute."""

    def __init__(self) -> None:
        self._open: dict[Network, int] = {}
        # A sliding minute, told from this one's count and the last one's (good to a few percent).
        self._since = 0.0
        self._this: dict[Network, int] = {}
        self._last: dict[Network, int] = {}

    def enter(
        self, address: Network, total: int, now: float, settings: ListenerSettings
    ) -> str | None:
        """Counts a connection of a stranger in; or names the limit that it meets, uncounted.

        `total` is how many connections there are, this one included. Every connection that got in
        must `leave`.
        """
        if total > settings.max_connections - settings.max_connections // 10:
            return "max_connections"
        who = holder(address)
        here = self._open.get(who, 0)
        if here >= settings.max_connections_per_address:
            return "max_connections_per_address"
        if self._newcomer(who, now) > settings.max_sessions_per_minute:
            return "max_sessions_per_minute"
        self._open[who] = here + 1
        return None

    def leave(self, address: Network) -> None:
        """A connection that got in is over."""
        who = holder(address)
        here = self._open[who] - 1
        if here > 0:
            self._open[who] = here
        else:
            del self._open[who]

    def _newcomer(self, who: Network, now: float) -> float:
        passed = now - self._since
        if passed >= _MINUTE or passed < 0 or len(self._this) > _REMEMBERED:
            recent = 0 <= passed < 2 * _MINUTE
            self._last = self._this if recent else {}
            self._this, self._since, passed = {}, now, 0.0
        count = self._this[who] = self._this.get(who, 0) + 1
        return count + self._last.get(who, 0) * (1 - passed / _MINUTE)
