"""Ends every claim in Redis at once, then takes leave of them in pieces.

A host that shares the ledger sees it empty from one moment to the next and has its kernel let go of
all in one go, however many they were. What is left to do is not urgent: the age of strikes counts
from now, and whoever asked is told who it was. Meanwhile addresses may be claimed anew. What is put
aside goes by itself after an hour, should nobody finish.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from guard.events import Ended
from guard.lib.ahead import ahead
from guard.stores.redis_claims import (
    CHANGES,
    CLAIMS,
    ENDS,
    PREFIX,
    SCHEMA,
    SOURCES,
    STRUCK,
    claims_of,
)
from guard.stores.redis_link import RedisLink

PIECE = 3000  # in one call, for which others wait some milliseconds
TOGETHER = 15_000  # handed on at once
_KEPT = 3600


def sweep(link: RedisLink, now: float) -> Iterator[Ended]:
    """Ends all claims with the first piece that is asked for. Raises Unavailable."""
    aside = f"{PREFIX}gone:{secrets.token_hex(8)}:"
    keys = [ENDS, SOURCES, CHANGES, SCHEMA]
    sources = [name.decode() for name in link.run("sweep", keys, [CLAIMS, aside, _KEPT])]
    # As much as a first answer, so that whoever waits for it knows that it is done.
    yield Ended([], frozenset())
    yield from ahead(_leave(link, sources, aside, now))


def _leave(link: RedisLink, sources: list[str], aside: str, now: float) -> Iterator[Ended]:
    for number, source in enumerate(sources):
        later = [aside + name for name in sources[number + 1 :]]
        keys = [aside + source, STRUCK, SOURCES, *later]
        cursor, held, again = b"0", dict[bytes, bytes](), list[bytes]()
        while True:
            arguments = [CLAIMS, source, repr(float(now)), cursor, PIECE]
            cursor, flat, claimed = link.run("swept", keys, arguments)
            held.update(zip(flat[::2], flat[1::2], strict=True))
            again += claimed
            if cursor == b"0" or len(held) >= TOGETHER:
                claims = [*claims_of(source, held, now)]
                more = {text.decode() for text in again}
                still = {c.network for c in claims if str(c.network) in more} if more else ()
                yield Ended(claims, frozenset(still))
                held, again = {}, []
            if cursor == b"0":
                break
