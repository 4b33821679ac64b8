"""Crowds of a fleet: a sorted set per block, which Redis itself forgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from math import ceil

import msgspec

from guard.lib.networks import Network
from guard.stores.redis_batch import text_of
from guard.stores.redis_link import RedisLink

PREFIX = "guard:crowd:"
AT_ONCE = 2000
_LATE = 3600
_pack = msgspec.msgpack.Encoder().encode


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

    def leave(self, gone: Mapping[Network, Sequence[Network]]) -> None:
        """The role's. Some thousand blocks in a call; in Cluster a call for each."""
        most = 1 if self._link.clustered else AT_ONCE
        rows = ((key(block), list(map(text_of, members))) for block, members in gone.items())
        while some := dict(islice(rows, most)):
            self._link.run("leave", list(some), [_pack(list(some.values()))])
