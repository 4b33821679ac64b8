"""Good standing of a fleet: one key an address in Redis, which Redis itself forgets."""

from __future__ import annotations

from collections.abc import Sequence

from guard.events import Good
from guard.lib.networks import Network
from guard.stores.fresh import Fresh
from guard.stores.redis_link import RedisLink
from guard.stores.settings import STANDING_KEPT

PREFIX = "guard:standing:"


def key(network: Network) -> str:
    """The key of `network`; its value is the time, a blank, and how."""
    return f"{PREFIX}{{{network}}}"


class RedisStanding:
    """The role Standing over `link`."""

    def __init__(self, link: RedisLink) -> None:
        self._link, self._fresh = link, Fresh()

    def note(self, goods: Sequence[Good]) -> None:
        """The role's. Of two hosts the later writer wins, which is an hour at most."""
        news = self._fresh.news(goods)
        if not news:
            return
        with self._link.errors(), self._link.client.pipeline(transaction=False) as pipe:
            for good in news:
                pipe.set(key(good.network), f"{good.time!r} {good.how}", ex=int(STANDING_KEPT))
            pipe.execute()
        self._fresh.wrote(news)

    def known(self, networks: Sequence[Network]) -> list[Good | None]:
        """The role's."""
        if not networks:
            return []
        with self._link.errors(), self._link.client.pipeline(transaction=False) as pipe:
            for network in networks:
                pipe.get(key(network))
            return [_read(n, v) for n, v in zip(networks, pipe.execute(), strict=True)]


def _read(network: Network, value: bytes | None) -> Good | None:
    """What `value` says; what another program wrote there is nothing."""
    time, _, how = (value or b"").partition(b" ")
    try:
        return Good(network, float(time), how.decode("ascii", "backslashreplace")[:20])
    except ValueError:
        return None
