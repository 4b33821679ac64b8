"""The listener's records on their way through a real Redis."""

import logging
import time

import msgspec
import pytest
import redis

from guard.records import Heard, PeerAddress, Record, Response
from guard.roles import Unavailable
from guard.stores.stream import KEY, StreamSink

AT = 1757675281


def record(number: int) -> Record:
    """A record of our listener; `number` is in its address."""
    return Record(
        type="Rejection",
        response=Response(550, None, "relaying not permitted", "RCPT TO:<a@b>"),
        peer_address=PeerAddress("x\n☃", f"192.0.{number // 256}.{number % 256}"),
        timestamp=AT,
        event_time="2025-09-12T11:08:01.250000000Z",
        created=AT,
        created_time="2025-09-12T11:08:01.250000000Z",
        nodeid="n",
        session_id="s",
    )


def until(true, seconds=15.0):
    """Waits for another process; fails when it does not happen."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def entries(url: str) -> list[Heard]:
    with redis.Redis.from_url(url) as client:
        found = client.xrange(KEY)
    return [msgspec.json.decode(fields[b"record"], type=Heard) for _, fields in found]


def numbers(url: str) -> list[str]:
    return [heard.peer_address.addr for heard in entries(url)]


@pytest.mark.redis
def test_records_arrive_in_order(redis_url):
    """What was put is in the stream, whole and in order, when the sink is closed."""
    sink = StreamSink(redis_url)
    for number in range(1000):
        sink.put(record(number))
    sink.close()
    assert numbers(redis_url) == [f"192.0.{n // 256}.{n % 256}" for n in range(1000)]
    assert (sink.sent, sink.dropped) == (1000, 0)


@pytest.mark.redis
def test_redis_may_go_and_come_back(redis_server, caplog):
    """Records wait within the bound; what has no room is counted; the rest arrives afterwards."""
    sink = StreamSink(redis_server.url, bound=50)
    sink.put(record(1))
    until(lambda: sink.sent == 1)
    redis_server.stop()
    sink.put(record(2))
    until(lambda: sink.error)
    for number in range(3, 103):
        sink.put(record(number))
    assert sink.waiting == 50
    assert sink.dropped == 51
    redis_server.start()
    until(lambda: sink.sent == 51)
    assert not sink.error
    sink.put(record(200))
    sink.close()
    assert numbers(redis_server.url) == [f"192.0.0.{n}" for n in (*range(1, 52), 200)]
    messages = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(messages) == 3


@pytest.mark.redis
def test_closing_without_redis_does_not_hang(redis_server):
    """The rest is counted as dropped after the sink's patience."""
    sink = StreamSink(redis_server.url, patience=1.0)
    redis_server.stop()
    sink.put(record(1))
    started = time.monotonic()
    sink.close()
    assert time.monotonic() - started < 5
    assert (sink.sent, sink.dropped) == (0, 1)


@pytest.mark.redis
def test_a_batch_whose_answer_was_lost_is_sent_as_it_was(redis_url):
    """Equal rejections that came in between do not grow it: each is counted, and once."""
    sink = StreamSink(redis_url)
    run = sink._link.run

    def lose(*call):
        run(*call)
        sink._link.run = run
        for _ in range(3):
            sink.put(equal)
        raise Unavailable("the answer was lost")

    sink._link.run = lose
    equal = msgspec.structs.replace(record(1), kind="relay_denied")
    sink.put(equal)
    sink.put(equal)
    until(lambda: sink.sent and not sink.waiting)
    sink.close()
    assert sum(heard.count for heard in entries(redis_url)) == 5


def test_a_batch_whose_answer_was_lost_is_added_once(redis_url, monkeypatch):
    """The script ran and nobody heard so: what is sent again is in the stream already."""
    sink = StreamSink(redis_url)
    run, lost = sink._link.run, []

    def losing(name, keys, arguments):
        run(name, keys, arguments)
        if len(lost) < 2:
            lost.append(name)
            raise Unavailable("the answer was lost")

    monkeypatch.setattr(sink._link, "run", losing)
    for number in range(300):
        sink.put(record(number))
    until(lambda: not sink.waiting)
    sink.close()
    assert lost == ["add", "add"]
    heard = entries(redis_url)
    assert len(heard) == len({h.peer_address.addr for h in heard}) == 300
