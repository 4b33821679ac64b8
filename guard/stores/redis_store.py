"""The store of a fleet, or of a host with several Guard processes: Redis 6.2 or later, Valkey."""

from __future__ import annotations

from guard.lib.redis_url import RedisUrl, parse_redis_url
from guard.stores.redis_counters import RedisCounters
from guard.stores.redis_crowds import RedisCrowds
from guard.stores.redis_ledger import RedisLedger
from guard.stores.redis_link import RedisLink
from guard.stores.redis_standing import RedisStanding
from guard.stores.settings import STRIKES_KEPT


class RedisStore:
    """What all hosts at `url` share. Raises Unavailable when Redis does not answer."""

    def __init__(self, url: str | RedisUrl, *, strikes_kept: float = STRIKES_KEPT) -> None:
        self._link = RedisLink(parse_redis_url(url))
        try:
            self.counters = RedisCounters(self._link)
            self.ledger = RedisLedger(self._link, strikes_kept)
            self.standing = RedisStanding(self._link)
            self.crowds = RedisCrowds(self._link)
        except BaseException:
            self._link.close()
            raise

    def said(self) -> str:
        """For the status: what fails is raised by what was asked."""
        return "answers"

    def close(self) -> None:
        """Closes the connections. Safe to repeat."""
        self._link.close()
