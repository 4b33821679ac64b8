"""Rejections out of a real Redis stream."""

import asyncio
import contextlib

import pytest
import redis
from support import free_port

from guard.events import Batch, Kind, Mark, Offence, Part, Rejection, Window
from guard.lib.networks import parse_network
from guard.roles import Unavailable
from guard.sources.stream import KEY, RedisStream
from guard.stores.outbox import Outbox
from guard.stores.redis_store import RedisStore
from guard.stores.shelter import Shelter

LINE = (
    '{{"type":"Rejection","timestamp":1757675281,"kind":"scanner",'
    '"peer_address":{{"name":"x","addr":"192.0.2.{}"}}}}'
)
pytestmark = pytest.mark.redis


def add(url: str, *records: str | bytes) -> None:
    with redis.Redis.from_url(url) as client:
        for record in records:
            client.xadd(KEY, {"record": record})


def left(url: str) -> int:
    with redis.Redis.from_url(url) as client:
        return client.xlen(KEY)


def event(number: int) -> Rejection:
    return Rejection(1757675281, f"192.0.2.{number}", Kind.SCANNER)


async def read(source: RedisStream, wanted: int) -> list:
    """The first `wanted` events; the batch that held the last of them counts as not counted."""
    found = []
    async with contextlib.aclosing(source.batches()) as batches, asyncio.timeout(20):
        async for batch in batches:
            found += batch
            if len(found) >= wanted:
                return found
    return found


def test_what_anybody_adds_is_heard_in_order(redis_url):
    """Entries from before the first daemon too; an entry without a record hides nothing."""
    add(redis_url, LINE.format(1), b"\xff garbage", "{}", LINE.format(2))
    with redis.Redis.from_url(redis_url) as client:
        client.xadd(KEY, {"other": "x"})
    add(redis_url, LINE.format(3))
    source = RedisStream(redis_url)
    assert asyncio.run(read(source, 3)) == [event(1), event(2), event(3)]
    assert sum(faults.count for faults in source.tally.faults.values()) == 3


def test_an_entry_is_let_go_when_the_next_batch_is_asked_for(redis_url):
    """What was counted is gone from Redis; what was not is given to whoever asks next."""
    add(redis_url, LINE.format(1))

    async def play() -> None:
        async with contextlib.aclosing(RedisStream(redis_url).batches()) as batches:
            async with asyncio.timeout(20):
                assert await anext(batches) == [event(1)]
                assert left(redis_url) == 1
                add(redis_url, LINE.format(2))
                assert await anext(batches) == [event(2)]
                assert left(redis_url) == 1

    asyncio.run(play())
    again = RedisStream(redis_url, abandoned_ms=0)
    assert asyncio.run(read(again, 1)) == [event(2)]


def test_two_daemons_share_the_stream(redis_url):
    """Each entry is given to one of them."""
    add(redis_url, *(LINE.format(n) for n in range(100)))

    async def play() -> list:
        first, second = (RedisStream(redis_url, consumer=name).batches() for name in "ab")
        async with contextlib.aclosing(first), contextlib.aclosing(second), asyncio.timeout(20):
            found = list(await anext(first))
            add(redis_url, *(LINE.format(n) for n in range(100, 200)))
            return found + list(await anext(second))

    found = asyncio.run(play())
    assert sorted(e.address for e in found) == sorted(event(n).address for n in range(200))


def test_redis_gone_is_unavailable(redis_server):
    """The source raises, whoever runs it starts it again, and it goes on where it was."""
    source = RedisStream(redis_server.url)

    async def play() -> None:
        async with contextlib.aclosing(source.batches()) as batches, asyncio.timeout(30):
            add(redis_server.url, LINE.format(1))
            await anext(batches)
            redis_server.stop()
            with pytest.raises(Unavailable, match="Redis at redis://127"):
                await anext(batches)

    asyncio.run(play())
    redis_server.start()
    add(redis_server.url, LINE.format(2))
    assert asyncio.run(read(source, 1)) == [event(2)]


def test_what_was_handed_over_and_never_came_is_read_at_once(redis_url):
    """A connection that broke after Redis had answered loses nothing, and makes nobody wait."""
    add(redis_url, LINE.format(1))
    with redis.Redis.from_url(redis_url) as client:
        client.xgroup_create(KEY, "guard", id="0")
        assert client.xreadgroup("guard", "me", {KEY: ">"})
    assert asyncio.run(read(RedisStream(redis_url, consumer="me"), 1)) == [event(1)]


@pytest.mark.parametrize("form", ["redis://127.0.0.1:{}", "redis+cluster://127.0.0.1:{}"])
def test_redis_absent_is_unavailable(form):
    """From the first moment, in every form of the URL."""
    source = RedisStream(form.format(free_port()))

    async def play() -> None:
        async with contextlib.aclosing(source.batches()) as batches:
            with pytest.raises(Unavailable, match="does not answer"):
                await anext(batches)

    asyncio.run(play())


def test_what_the_counters_let_go_of_is_not_let_go_of_here(redis_url, tmp_path):
    """With a mark, entry and counts are one step; what another daemon counted counts no more."""
    add(redis_url, *[LINE.format(number) for number in range(1, 4)])
    source, network = RedisStream(redis_url), parse_network("192.0.2.1")
    shelter = Shelter(RedisStore(redis_url), Outbox(tmp_path))
    windows = {"scanner": Window(10**6, 600.0)}

    def batch(mark: bytes) -> Batch:
        offences = [Offence("scanner", network, 1757675281.0)] * 3
        return Batch((Part(offences, windows),), Mark(source.key, mark))

    async def play() -> bytes:
        async with contextlib.aclosing(source.batches()) as batches, asyncio.timeout(20):
            assert len(await anext(batches)) == 3
            mark = source.mark()
            assert left(redis_url) == 3
            shelter.count_once(batch(mark))
            assert left(redis_url) == 0
            return mark

    mark = asyncio.run(play())
    # As one who was given the same entries when this one seemed dead.
    shelter.count_once(batch(mark))
    assert len(shelter.counted(network)) == 3
    shelter.close()
