"""Who a listener lets in, besides what its own settings say: whom Guard protects, whom it blocks.

In one process with the daemon it asks the daemon's own parts. A listener alone follows the ledger
in Redis by itself, and protects by the same settings and files as the daemon of its host. When
Redis is gone the last state holds, each block until its end; nobody is blocked for want of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from guard.assemble.deciding import allowed, protect_config, protection
from guard.config import Settings
from guard.firewall.mirror import Mirror
from guard.lib import clock
from guard.lib.networks import Network
from guard.parts import Chore
from guard.protect.hand import EVERY as HAND_EVERY
from guard.protect.pause import Pause
from guard.protect.protection import Protectors
from guard.protect.watch import NEAR_EVERY, Watch
from guard.roles import Standing
from guard.smtp.blocks import Blocks
from guard.smtp.goods import Goods
from guard.smtp.server import Server
from guard.stores.redis_ledger import RedisLedger
from guard.stores.redis_link import RedisLink
from guard.stores.redis_standing import RedisStanding

EVERY = 0.5  # seconds


def tell(servers: Sequence[Server], protectors: Protectors, blocks: Blocks | None) -> None:
    """Has `servers` ask `protectors` whom to trust, and `blocks` whom to turn away."""
    for server in servers:
        server.consult(trusted=lambda peer: protectors.protects(peer) is not None, blocked=blocks)


class Door:
    """What `servers` ask, true from the start, and kept so by `step`."""

    def __init__(
        self,
        settings: Settings,
        path: Path | None,
        servers: Sequence[Server],
        stack: ExitStack,
        goods: Goods,
    ) -> None:
        """Raises Unavailable when Redis does not answer."""
        url = settings.store.redis
        assert url is not None
        state = settings.state.dir
        protectors = protection(settings)
        link = RedisLink(url)
        stack.callback(link.close)
        blocks = Blocks(clock.now)
        self._watch = Watch(settings.protect, protectors, state, config=protect_config(path))
        self._hand = allowed(settings, protectors, stack)
        self._switch = Pause(protectors, state)
        self._mirror = Mirror(RedisLedger(link, settings.store.strikes), blocks, self._switch)
        self._goods, self._recall = goods, recalling(goods, RedisStanding(link), settings)
        self._watched = self._asked = float("-inf")
        self.step(clock.now())
        tell(servers, protectors, blocks)

    def step(self, now: float) -> None:
        """Takes up what has changed. Raises Unavailable."""
        if not self._watched <= now < self._watched + NEAR_EVERY:
            self._watched = now
            self._watch.follow(now)
        self._switch.look(now)
        if not self._asked <= now < self._asked + HAND_EVERY:
            self._asked = now
            self._hand.refresh(now)
        self._mirror.step(now)
        if some := self._goods.waiting():
            self._recall(some, now)


def recalling(
    goods: Goods, standing: Standing, settings: Settings
) -> Callable[[list[Network], float], None]:
    """Has `goods` learn of some addresses what `standing` knows of them."""
    widths = {4: settings.jails.ipv4_prefix, 6: settings.jails.ipv6_prefix}
    length = settings.protect.good_standing

    def recall(asked: list[Network], now: float) -> None:
        found = standing.known([each.supernet(widths[each.version]) for each in asked])
        known = zip(asked, found, strict=True)
        goods.learn(asked, {each for each, good in known if good and good.time > now - length}, now)

    return recall


def asking(
    goods: Goods, standing: Standing, settings: Settings
) -> Callable[[float], Callable[[float], None] | None]:
    """The same as a chore, where another thread has the store."""
    recall = recalling(goods, standing, settings)

    def ask(_now: float) -> Callable[[float], None] | None:
        asked = goods.waiting()
        return partial(recall, asked) if asked else None

    return ask


def door(
    settings: Settings,
    path: Path | None,
    servers: Sequence[Server],
    stack: ExitStack,
    goods: Goods,
) -> list[Chore]:
    """The door of a listener alone, and what keeps it."""
    if not servers:
        return []
    return [Chore("door", EVERY, Door(settings, path, servers, stack, goods).step)]
