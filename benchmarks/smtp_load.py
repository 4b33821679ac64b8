"""The clients of smtp.py: many connections at once that play one script, from many addresses.

visitors.c where there is a compiler, else the same in Python. Neither is part of what is measured.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

ADDRESSES = 200  # of 127.0.0.0/8, that come in turns
EXPANSE = "Expanse, a Palo Alto Networks company, searches across the global IPv4 space"
NUMBER = b"########"  # becomes the number of the session


class Step(NamedTuple):
    """What the client sends, and how many final reply lines it then waits for."""

    data: bytes
    replies: int


GREET = Step(b"", 1)
QUIT = Step(b"QUIT\r\n", 1)
EHLO = Step(b"EHLO win-clj1b0gq6jp\r\n", 1)
MAIL, RCPT = b"MAIL FROM:<test@test.com>\r\n", b"RCPT TO:<m########@gmail.com>\r\n"
AGENT = f"GET / HTTP/1.1\r\nHost: 192.0.2.1:25\r\nUser-Agent: {EXPANSE}\r\n".encode()
SCRIPTS = {
    "reject": (GREET, EHLO, Step(MAIL, 1), Step(RCPT, 1), QUIT),
    "pipelined": (GREET, EHLO, Step(MAIL + RCPT + b"QUIT\r\n", 3)),
    "ntlm": (GREET, EHLO, Step(b"AUTH NTLM\r\n", 1), QUIT),
    "http": (GREET, Step(AGENT, 1)),
}
Script = tuple[Step, ...]


def core(which: int) -> set[int]:
    """The first of our processors, for clients, or the last (-1), for servers."""
    return {sorted(os.sched_getaffinity(0))[which]}


@functools.cache
def compiled(source: str) -> Path | None:
    """A program made of one of the C files here; None without a compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return None
    folder, here = tempfile.mkdtemp(prefix="guard-benchmark-"), Path(__file__).parent
    atexit.register(shutil.rmtree, folder)
    made = Path(folder) / source.removesuffix(".c")
    subprocess.run([compiler, "-O2", "-o", str(made), str(here / source)], check=True)
    return made


def play(port: int, script: Script, connections: int, seconds: float) -> int:
    """How many sessions were played in about `seconds`, all of them to their end."""
    program = compiled("visitors.c")
    if program is None or len(os.sched_getaffinity(0)) == 1:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(Load(port, script, connections).run(seconds))
    words: list[bytes | str] = [str(program), "127.0.0.1", str(port), str(connections)]
    words += [str(int(seconds * 1000)), str(ADDRESSES)]
    for step in script:
        words += [str(step.replies), step.data]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as client:
        os.sched_setaffinity(client.pid, core(0))
        said = client.communicate()[0].split()
    sessions, failures = map(int, said)
    assert failures == 0, f"{failures} sessions failed"
    return sessions


class Visitor(asyncio.Protocol):
    """Plays a script on one connection."""

    def __init__(self, load: Load) -> None:
        self.load, self.step, self.wanted, self.tail = load, 0, 1, b""

    def connection_made(self, transport: Any) -> None:
        """Waits for the banner."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Counts final reply lines and goes on when all that were wanted are there."""
        lines = (self.tail + data).split(b"\r\n")
        self.tail = lines.pop()
        self.wanted -= sum(line[3:4] == b" " for line in lines)
        if self.wanted > 0:
            return
        self.step += 1
        script = self.load.script
        if self.step == len(script):
            self.transport.close()
            return
        self.wanted = script[self.step].replies
        number = b"%08d" % self.load.sessions
        self.transport.write(script[self.step].data.replace(NUMBER, number))

    def connection_lost(self, error: Exception | None) -> None:
        """Counts a session that was played to its end, and begins the next."""
        self.load.ended(complete=self.step >= len(self.load.script) - 1)


class Load:
    """Many visitors at once, for some seconds."""

    def __init__(self, port: int, script: Script, connections: int) -> None:
        self.port, self.script, self.connections = port, script, connections
        self.sessions = self.failures = self.begun = 0
        self.running = True
        self.tasks: set[asyncio.Task[Any]] = set()

    def ended(self, *, complete: bool) -> None:
        """One session is over."""
        self.sessions += complete
        self.failures += not complete
        if self.running:
            self.begin()

    def begin(self) -> None:
        """One more."""
        task = asyncio.get_running_loop().create_task(self.connect())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def connect(self) -> None:
        """Connects a visitor from the next address."""
        self.begun += 1
        loop, source = asyncio.get_running_loop(), f"127.1.0.{1 + self.begun % ADDRESSES}"
        address = (source, 0)
        await loop.create_connection(
            lambda: Visitor(self), "127.0.0.1", self.port, local_addr=address
        )

    async def run(self, seconds: float) -> int:
        """Sessions played in `seconds`, and in what it takes to end those that were begun."""
        for _ in range(self.connections):
            self.begin()
        await asyncio.sleep(seconds)
        self.running = False
        await asyncio.sleep(0.3)
        assert self.failures == 0, f"{self.failures} sessions failed"
        return self.sessions
