"""Crowds of a fleet: a sorted set per block, which Redis itself forgets."""

from __future__ import annotations

from math import ceil

from guard.lib.networks import Network
from guard.stores.redis_link import RedisLink

PREFIX = "guard:crowd:"
_LATE = 3600


def key(block: Network) -> str:
    """The key of `block`; its members are networks, their scores the times of their bans."""
    return f"{PREFIX}{{{block}}}"


class RedisCrowds:
    """The role `Crowds` over `link`."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    def join(self, block: Network, member: Network, time: float, within: float) -> int:
        """The role's."""
        name = key(block)
        with self._link.errors(), self._link.client.pipeline(transaction=False) as pipe:
            pipe.zremrangebyscore(name, "-inf", repr(time - within - _LATE))
            pipe.zadd(name, {str(member): time}, gt=True)
            pipe.expire(name, ceil(within) + _LATE)
            pipe.zcount(name, f"({time - within!r}", "+inf")
            count: int = pipe.execute()[-1]
        return count

    def leave(self, block: Network, member: Network | None) -> None:
        """The role's."""
        with self._link.errors():
            if member is None:
                self._link.client.delete(key(block))
            else:
                self._link.client.zrem(key(block), str(member))
