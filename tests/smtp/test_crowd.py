"""A scanner's crowd and a relay host at once; and those who only look like scanners."""

import asyncio
import time

import pytest
from listening import HOST

FRIEND = "127.0.0.25"


async def hold(address, said):
    """Connects, says something that never becomes a line, and stays."""
    reader, writer = await asyncio.open_connection(*address)
    await reader.readline()
    writer.write(said)
    return writer


async def flood(address, stop):
    """Garbage, as fast as it is taken, on new connections all the time."""
    while not stop.is_set():
        reader, writer = await asyncio.open_connection(*address)
        try:
            writer.write(b"GARBAGE \x00\x01\r\n" * 500)
            await writer.drain()
            await asyncio.wait_for(reader.read(65536), 5)
        except (ConnectionError, TimeoutError):
            pass
        finally:
            writer.close()


async def drip(address, stop):
    """A byte now and then."""
    writer = await hold(address, b"E")
    while not stop.is_set():
        await asyncio.sleep(0.2)
        writer.write(b"x")
    writer.close()


async def mail(address):
    """How long the relay host's message took, in seconds."""
    began = time.monotonic()
    reader, writer = await asyncio.open_connection(*address, local_addr=(FRIEND, 0))
    await reader.readline()
    for line in ("MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>", "DATA", "x\r\n."):
        writer.write(line.encode() + b"\r\n")
        answer = await asyncio.wait_for(reader.readline(), 20)
        assert answer[:1] in b"23", answer
    writer.close()
    return time.monotonic() - began


@pytest.mark.parametrize("loops", ["uvloop"], indirect=True)
def test_mail_goes_through_in_a_crowd(listen):
    """Hundreds who stay, who drip and who flood do not hold the relay host's mail up."""
    server = listen(
        relay_hosts=[FRIEND],
        max_connections_per_address=5000,
        max_sessions_per_minute=10**6,
        tarpit=0.5,
    )

    async def crowd():
        stop = asyncio.Event()
        held = [await hold(server.address, b"NO") for _ in range(500)]
        async with asyncio.TaskGroup() as group:
            for _ in range(50):
                group.create_task(drip(server.address, stop))
            for _ in range(4):
                group.create_task(flood(server.address, stop))
            times = [await mail(server.address) for _ in range(15)]
            stop.set()
        for writer in held:
            writer.close()
        return times

    times = asyncio.run(crowd())
    assert sorted(times)[7] < 1.0
    assert max(times) < 5.0
    assert len(server.mails()) == 15
    assert not list(server.spool.tmp.iterdir())


INNOCENT = {
    "health check, connect and close": [],
    "health check, EHLO and QUIT": ["EHLO haproxy.example.com", "QUIT"],
    "health check by HELO": ["HELO localhost", "QUIT"],
    "thunderbird looks for settings": ["EHLO we-guess.mozilla.org", "QUIT"],
    "a printer with a bare name": ["HELO PRINTER-3F", "MAIL FROM:<p@example.org>", "RSET", "QUIT"],
    "a Windows host": ["EHLO DESKTOP-7Q2K9", "NOOP", "QUIT"],
    "outlook asks for TLS and leaves": ["EHLO [192.0.2.77]", "RSET", "QUIT"],
    "a sender that tells a size": ["EHLO mx.example.org", "MAIL FROM:<a@b.org> SIZE=12345", "QUIT"],
    "a sender with SMTPUTF8": ["EHLO mx.example.org", "MAIL FROM:<ö@b.org> SMTPUTF8", "QUIT"],
    "a bounce": ["EHLO mx.example.org", "MAIL FROM:<>", "QUIT"],
}


@pytest.mark.parametrize("name", INNOCENT)
def test_the_innocent_leave_no_rejection(listen, name):
    """With every defence switched on, what is right is answered 2xx and recorded nowhere."""
    server = listen(greet_pause=0.05, tarpit=1.0)
    with server.connect() as client:
        for line in INNOCENT[name]:
            assert client.say(line)[0] == "2"
    assert server.notes.records == []


def test_a_large_burst_of_an_innocent(listen):
    """A hundred sessions in a row from one address are nothing special."""
    server = listen()
    for _ in range(100):
        with server.connect() as client:
            assert client.say("EHLO bulk.example.org").startswith(f"250-{HOST}")
            client.say("QUIT")
    assert server.notes.records == []
