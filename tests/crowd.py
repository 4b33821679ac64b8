"""A crowd of scanners in a process of its own: `python crowd.py PORT HELD DRIPPERS FLOODERS`.

Some connect, say half a line and stay; some drip a byte now and then; some flood with garbage, on
new connections and from new addresses all the time. Everybody has an address of 127.0.0.0/8 as
source. Prints `ready` once all are there, goes on until its input ends, then prints what it did.
"""

import asyncio
import itertools
import json
import resource
import sys

import uvloop

EACH = 40  # connections of one address: fewer than what a listener allows by default
DRIP = 0.5
GARBAGE = (
    b"".join(
        (
            b"GARBAGE \x00\x01\x1b[31m\x07\r\n",
            b"\xe2\x80\xa8\xff\xfe EHLO\r\n",
            b'MAIL FROM:<"\\\x1b]0;x\x07"@x>\r\n',
            b"A\nB\rC\r\n",
            b"X" * 3000 + b"\r\n",
            b'{"kind":"relay_denied","addr":"192.0.2.1"}\r\n',
        )
    )
    * 40
)
GREETINGS = (b"EHLO \x1b[2J\xc3\xa9\r\n", b"EHLO mx.example.com\r\n", b"")


def address(number):
    """A source of its own for every number, not one that a test uses for somebody else."""
    return f"127.{100 + number // 62500}.{number // 250 % 250}.{number % 250 + 1}"


class Held(asyncio.Protocol):
    """Waits for the banner, says half a line, and stays."""

    def __init__(self, crowd):
        self.crowd, self.greeted = crowd, asyncio.get_running_loop().create_future()
        self.transport = None

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        if not self.greeted.done():
            self.greeted.set_result(data)
            self.transport.write(b"NO")
        else:
            self.crowd.told[data[:3].decode()] += 1

    def connection_lost(self, error):
        if not self.greeted.done():
            self.greeted.set_result(b"")
        elif not self.crowd.over:
            self.crowd.lost += 1


class Crowd:
    """Everybody, and what became of them."""

    def __init__(self, port):
        self.port = port
        self.lost, self.floods, self.over = 0, 0, False
        self.told = dict.fromkeys(("", "421", "500", "501", "502", "554"), 0)

    async def hold(self, number):
        """One who stays; whether he got a banner."""
        loop = asyncio.get_running_loop()
        transport, held = await loop.create_connection(
            lambda: Held(self), "127.0.0.1", self.port, local_addr=(address(number // EACH), 0)
        )
        return transport, (await held.greeted).startswith(b"220 ")

    async def hold_all(self, numbers):
        """All of them, some hundred at a time."""
        found = []
        for batch in (numbers[at : at + 200] for at in range(0, len(numbers), 200)):
            found += await asyncio.gather(*map(self.hold, batch))
        assert all(greeted for _, greeted in found), "somebody was not let in"
        return [transport for transport, _ in found]

    async def drip(self, transports):
        """A byte of each, now and then."""
        while not self.over:
            for transport in transports:
                transport.write(b"x")
            await asyncio.sleep(DRIP)

    async def flood(self, numbers):
        """Garbage on one connection after another."""
        for number in numbers:
            if self.over:
                return
            try:
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", self.port, local_addr=(address(number), 0)
                )
                writer.write(GREETINGS[number % 3] + GARBAGE)
                async with asyncio.timeout(10):
                    while await reader.read(65536):
                        pass
            except (OSError, TimeoutError):
                pass
            else:
                writer.close()
            self.floods += 1


async def main(port, held, drippers, flooders):
    """The whole day."""
    crowd, loop = Crowd(port), asyncio.get_running_loop()
    everybody = await crowd.hold_all(range(held))
    dripping = await crowd.hold_all(range(held, held + drippers))
    first = (held + drippers) // EACH + 1000
    async with asyncio.TaskGroup() as group:
        group.create_task(crowd.drip(dripping))
        for number in range(flooders):
            group.create_task(crowd.flood(itertools.count(first + number, flooders)))
        print("ready", flush=True)
        await loop.run_in_executor(None, sys.stdin.read)
        crowd.over = True
    for transport in (*everybody, *dripping):
        transport.abort()
    print(json.dumps({"lost": crowd.lost, "floods": crowd.floods}), flush=True)


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(*map(int, sys.argv[1:])))
