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

PIECE = 5000  # in one call, for which others wait ten milliseconds
TOGETHER = 15_000  # handed on at once
_KEPT = 3600
# Seconds between the ages of one call and the next: what is moved side by side is moved fast.
_APART = 2.0**-20


def sweep(link: RedisLink, now: float) -> Iterator[Ended]:
    """Ends all claims with the first piece that is asked for. Raises Unavailable."""
    aside = f"{PREFIX}gone:{secrets.token_hex(8)}:"
    keys = [ENDS, SOURCES, CHANGES, SCHEMA]
    sources = [name.decode() for name in link.run("sweep", keys, [CLAIMS, aside, _KEPT])]
    # As much as a first answer, so that whoever waits for it knows that it is done.
    yield Ended([], frozenset())
    for source, held, again in ahead(_leave(link, sources, aside, now)):
        still = {text: held[text] for text in again}
        kept = frozenset(claim.network for claim in claims_of(source, still, now))
        yield Ended([*claims_of(source, held, now)], kept)


def _leave(
    link: RedisLink, sources: list[str], aside: str, now: float
) -> Iterator[tuple[str, dict[bytes, bytes], set[bytes]]]:
    """What each source had claimed, and which of these networks are claimed still or once more."""
    places = [aside + name for name in sources]
    # In turns: while Redis does this, those that were read are told of.
    ages = _age(link, [place for place in places if place.startswith(f"{aside}jail:")], now)
    for number, source in enumerate(sources):
        cursor = b""
        while cursor != b"0":
            held, again = dict[bytes, bytes](), set[bytes]()
            while cursor != b"0" and len(held) < TOGETHER:
                keys = [places[number], SOURCES, *places[number + 1 :]]
                cursor, flat, more = link.run("swept", keys, [CLAIMS, cursor or 0, PIECE])
                held.update(zip(flat[::2], flat[1::2], strict=True))
                again.update(more)
                next(ages, None)
            yield source, held, again
    for _ in ages:
        yield "", {}, set()
    with link.errors():
        for place in places:
            link.client.unlink(place)


def _age(link: RedisLink, ended: list[str], now: float) -> Iterator[None]:
    """Has the strikes of networks that jails had claimed count their age from `now`."""
    left = calls = 0
    while ended:
        time = repr(now - calls * _APART)
        arguments = [CLAIMS, time, repr(float(now)), left, PIECE]
        found, stay = link.run("aged", [STRUCK, SOURCES, SCHEMA, *ended], arguments)
        left, calls = left + stay, calls + 1
        if found < PIECE:
            return
        yield
