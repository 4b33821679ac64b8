"""The listener's channel: nothing blocks, what has no room is counted, the rest comes in order."""

import asyncio
from collections.abc import Sequence

from guard.events import Acceptance, Event, Kind, Rejection
from guard.records import PeerAddress, Record, Response
from guard.sources.channel import BATCH, Channel

AT = 1757675281


def record(number: int = 1, kind_of: str = "Rejection", **more) -> Record:
    """A record of our listener; `number` is in its address."""
    return Record(
        type=kind_of,
        response=Response(550, None, "relaying not permitted", "RCPT TO:<a@b>"),
        peer_address=PeerAddress("x", f"192.0.{number // 256}.{number % 256}"),
        timestamp=AT,
        event_time="2025-09-12T11:08:01.250000000Z",
        created=AT,
        created_time="2025-09-12T11:08:01.250000000Z",
        nodeid="n",
        session_id="s",
        **more,
    )


async def drain(channel: Channel) -> list[Sequence[Event]]:
    """Every batch until the channel ends."""
    return [batch async for batch in channel.batches()]


def test_records_arrive_as_events_in_order():
    """What was put before anybody listened comes first, in one batch."""

    async def play() -> list[Sequence[Event]]:
        channel = Channel()
        channel.put(record(1))
        channel.put(record(2, "Reception"))
        channel.put(record(3, kind="scanner", count=4))
        channel.put(record(4, "Bounce"))
        channel.finish()
        return await drain(channel)

    assert asyncio.run(play()) == [
        [
            Rejection(AT + 0.25, "192.0.0.1", Kind.RELAY_DENIED),
            Acceptance(AT, "192.0.0.2", "mail"),
            Rejection(AT + 0.25, "192.0.0.3", Kind.SCANNER, 4),
        ]
    ]


def test_what_does_not_fit_is_dropped_and_counted():
    """A full channel takes no more, and says how many it refused."""

    async def play() -> tuple[int, int, list[Sequence[Event]]]:
        channel = Channel(bound=3)
        for number in range(10):
            channel.put(record(number))
        waiting = channel.waiting
        channel.finish()
        return channel.dropped, waiting, await drain(channel)

    dropped, waiting, batches = asyncio.run(play())
    assert (dropped, waiting) == (7, 3)
    assert [event.address for event in batches[0]] == ["192.0.0.0", "192.0.0.1", "192.0.0.2"]


def test_events_flow_while_somebody_listens():
    """A record wakes the reader, which gets later ones too, and ends when told."""

    async def play() -> list[Sequence[Event]]:
        channel, heard = Channel(), []
        loop = asyncio.get_running_loop()
        channel.put(record(1))
        async for batch in channel.batches():
            heard.append(batch)
            if len(heard) < 3:
                loop.call_later(0.01, channel.put, record(len(heard) + 1))
            else:
                channel.finish()
        return heard

    batches = asyncio.run(play())
    assert [event.address for (event,) in batches] == ["192.0.0.1", "192.0.0.2", "192.0.0.3"]


def test_a_backlog_comes_in_bounded_batches():
    """A long wait does not make one endless batch."""

    async def play() -> list[Sequence[Event]]:
        channel = Channel()
        for number in range(2 * BATCH + 7):
            channel.put(record(number))
        channel.finish()
        return await drain(channel)

    assert [len(batch) for batch in asyncio.run(play())] == [BATCH, BATCH, 7]


def test_what_repeats_takes_no_room():
    """An attack of equal rejections fills nothing, and is counted whole."""

    async def play() -> tuple[int, list[Sequence[Event]]]:
        channel = Channel(bound=3 * BATCH)
        for number in range(20 * BATCH):
            channel.put(record(number % 2, kind="limit"))
        assert channel.waiting <= BATCH
        channel.finish()
        return channel.dropped, await drain(channel)

    dropped, batches = asyncio.run(play())
    assert dropped == 0
    events = [event for batch in batches for event in batch]
    assert len(events) < 10
    assert sum(event.count for event in events) == 20 * BATCH
