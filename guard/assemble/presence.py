"""What the listeners of this host count: asked of our own, or heard of those beside the daemon."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from guard.config import Settings
from guard.parts import Chore
from guard.roles import GuardError
from guard.smtp.server import Server
from guard.stores.presence import EVERY, Presence
from guard.stores.redis_link import RedisLink


def here(servers: Sequence[Server]) -> list[dict[str, Any]]:
    """A row for each listener of this process."""
    return [
        {"name": str(address), **server.counts}
        for server in servers
        for address in server.addresses[:1]
    ]


def rows(servers: Sequence[Server], presence: Presence | None, now: float) -> list[dict[str, Any]]:
    """The same, or what others have said; a Redis that is gone says nothing."""
    own = here(servers)
    if own or presence is None:
        return own
    try:
        return list(presence.told(now))
    except GuardError:
        return []


def elsewhere(settings: Settings, stack: ExitStack) -> Presence | None:
    """Where those that are processes of their own say it; nowhere without Redis."""
    if (url := settings.store.redis) is None:
        return None
    link = RedisLink(url)
    stack.callback(link.close)
    return Presence(link, socket.gethostname().replace(" ", "-"))


def telling(
    settings: Settings, servers: Sequence[Server], process: int, stack: ExitStack
) -> list[Chore]:
    """Has `process`, a listener by itself, say it."""
    presence = elsewhere(settings, stack)
    if presence is None:
        return []

    def tell(now: float) -> None:
        rows = {str(row.pop("name")): row for row in here(servers)}
        presence.tell(process, rows, now)

    return [Chore("what listeners count", EVERY, tell)]
