"""The syslog receiver over real sockets: both protocols, only those who may, nothing unbounded."""

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kumo import AT, rejection

from guard.filters.textfilter import Filter
from guard.lib.fields import Endpoint
from guard.lib.networks import parse_network
from guard.roles import Unavailable
from guard.sources.gather import Gather
from guard.sources.settings import SyslogSettings
from guard.sources.syslog import Frames, Syslog

OLD = b"<34>Sep 12 11:08:01 mx exim[4]: refused 192.0.2.1"
NEW = b"<34>1 2025-09-12T11:08:01.25Z mx exim 4 - - refused 192.0.2.2"


def mail() -> Filter:
    """Reads `program[n]: refused ADDRESS` behind a host name."""
    return Filter("mail", [r"^\s*\S+ \S+: refused <ADDR>$"])


@asynccontextmanager
async def serve(filter_: Filter | None = None, **more):
    """A receiver that runs, with the list of what it heard."""
    more.setdefault("listen", Endpoint("127.0.0.1", 0))
    made = Syslog(
        SyslogSettings(type="syslog", filter="mail" if filter_ else None, **more), filter_
    )
    heard: list = []
    async with asyncio.TaskGroup() as group:

        async def listen() -> None:
            async for batch in made.batches():
                heard.extend(batch)

        task = group.create_task(listen())
        async with asyncio.timeout(5):
            while not made.addresses:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        yield made, heard
        task.cancel()


async def until(heard: list, count: int) -> list:
    """What was heard once it is so many."""
    async with asyncio.timeout(5):
        while len(heard) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    return heard


def test_udp_and_tcp_of_both_kinds():
    """A datagram each; a stream in lines, or with counts; the time of RFC 5424 is the sender's."""

    async def play() -> list:
        async with serve(mail()) as (made, heard):
            address = made.addresses[0]
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(NEW, address)
                sender.sendto(OLD, address)
                sender.sendto(b"", address)
            await until(heard, 2)
            for stream in (NEW + b"\n" + OLD + b"\n", b"%d %s%d %s" % (len(NEW), NEW, 3, b"<1>")):
                _, writer = await asyncio.open_connection(*address)
                writer.write(stream)
                await writer.drain()
                writer.close()
                await writer.wait_closed()
            return list(await until(heard, 5))

    heard = asyncio.run(play())
    assert sorted(event.address for event in heard) == ["192.0.2.1"] * 2 + ["192.0.2.2"] * 3
    assert {event.time for event in heard if event.address == "192.0.2.2"} == {1757675281.25}
    assert {(event.kind, event.filter) for event in heard} == {(None, "mail")}


def test_only_those_who_may_are_heard():
    """Whoever may write here may have anybody banned."""

    async def play() -> tuple[list, int]:
        allow = (parse_network("192.0.2.0/24"),)
        async with serve(mail(), allow=allow) as (made, heard):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(NEW, made.addresses[0])
            reader, writer = await asyncio.open_connection(*made.addresses[0])
            try:
                writer.write(NEW + b"\n")
                assert await reader.read() == b""
            except ConnectionError:  # closed before it was read
                pass
            writer.close()
            await asyncio.sleep(0.1)
            return list(heard), made.strangers

    assert asyncio.run(play()) == ([], 2)


def test_log_records_by_syslog(tmp_path):
    """Without a filter messages are records, behind any head; a unix socket is heard as well."""
    path = tmp_path / "run" / "log.sock"

    async def play() -> list:
        async with serve(socket=path) as (_, heard):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.connect(str(path))
                sender.send(b"<13>Sep 12 11:08:01 mx kumod: " + rejection(1))
                sender.send(rejection(2))
                sender.send(b"<13>{nonsense")
                sender.send(b"<13>" + rejection(3))
            return list(await until(heard, 3))

    assert [event.time - AT for event in asyncio.run(play())] == [1, 2, 3]
    assert asyncio.run(play())  # a stale socket is no obstacle


def test_a_port_in_use_is_unavailable():
    """The daemon hears why, and tries again."""

    async def play() -> None:
        async with serve(mail()) as (made, _):
            listen = Endpoint(*made.addresses[0])
            other = Syslog(SyslogSettings(type="syslog", listen=listen, filter="x"), mail())
            with pytest.raises(Unavailable, match=r"(?i)address already in use"):
                await anext(other.batches())

    asyncio.run(play())


@settings(deadline=None, max_examples=200)
@given(st.lists(st.binary(min_size=1, max_size=30)), st.booleans(), st.lists(st.integers(1, 40)))
def test_frames_are_the_same_in_any_cut(messages, counted, cuts):
    """Counted or by line, the messages of a stream come out whole."""
    if counted:
        data = b"".join(b"%d %s" % (len(message), message) for message in messages)
    else:
        messages = [b"<" + message.replace(b"\n", b"") for message in messages]
        data = b"".join(message + b"\n" for message in messages)
    frames, found, at = Frames(), [], 0
    for cut in [*cuts, len(data)]:
        found += frames.feed(data[at : at + cut])
        at += cut
    assert found == messages


@settings(deadline=None, max_examples=200)
@given(st.lists(st.binary(max_size=50)))
def test_any_stream_is_cut_into_something(blocks):
    """No bytes of a stream raise."""
    frames = Frames()
    for block in blocks:
        frames.feed(block)


def test_what_finds_no_room_is_dropped_and_counted(caplog):
    """Bounded memory, told once a minute; who can wait waits for room."""

    async def play() -> tuple[int, int]:
        gather = Gather("syslog", list, lambda: 1e9, bound=10)
        for number in range(25):
            gather.put(b"%d" % number)
        waiting = asyncio.wait_for(gather.room(), 5)
        gather.finish()
        batches = [batch async for batch in gather.batches()]
        await waiting
        return gather.dropped, sum(map(len, batches))

    assert asyncio.run(play()) == (15, 10)
    assert caplog.text.count("lines dropped so far") == 1
