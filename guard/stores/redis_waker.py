"""Tells a host at once that the ledger in Redis has changed, whoever changed it.

A connection of its own waits in Redis for the next entry of the stream of changes; what changed is
read by the ledger, from its own cursor. So a word that is lost costs a look a moment later, never a
change. Used by one thread, which does nothing else.
"""

from __future__ import annotations

from guard.lib.redis_url import RedisUrl, parse_redis_url
from guard.stores.redis_claims import CHANGES
from guard.stores.redis_link import RedisLink

_MANY = 1000


class RedisWaker:
    """Waits at `url`. Connects when it is first asked to wait."""

    def __init__(self, url: str | RedisUrl) -> None:
        self._link = RedisLink(parse_redis_url(url))
        self._seen = b""

    def wait(self, seconds: float) -> bool:
        """Whether anything changed since the last call; waits so long for it, at most 4 seconds.

        Raises Unavailable when Redis does not answer.
        """
        with self._link.errors():
            if not self._seen:
                newest = self._link.client.xrevrange(CHANGES, count=1)
                self._seen = newest[0][0] if newest else b"0-0"
                return True
            wait = max(1, round(1000 * min(seconds, 4.0)))  # below the connection's timeout
            found = self._link.client.xread({CHANGES: self._seen}, count=_MANY, block=wait)
            if found:
                self._seen = found[0][1][-1][0]
            return bool(found)

    def close(self) -> None:
        """Closes the connection."""
        self._link.close()
