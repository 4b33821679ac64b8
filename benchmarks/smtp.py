"""Refused sessions per CPU-second of the server: our listener beside stock aiosmtpd.

    python -m benchmarks.smtp [--seconds 3] [--rounds 3] [--json]

Each server runs alone in a process on its own core and is asked by 100 connections at once; what
counts is the CPU time of that process, user and system, so that other load on the machine matters
little. `bare` is an asyncio.Protocol that answers without looking: the most that Python can do.
Ours runs as in production: limits, scanners' names, relay policy, classification, and every
rejection on its way to the record log, where equal ones are collapsed. Both run on uvloop.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import uvloop

CONNECTIONS = 100
EXPANSE = "Expanse, a Palo Alto Networks company, searches across the global IPv4 space"


class Step(NamedTuple):
    """What the client sends, and how many final reply lines it then waits for."""

    data: bytes
    replies: int


GREET = Step(b"", 1)
QUIT = Step(b"QUIT\r\n", 1)
EHLO = Step(b"EHLO win-clj1b0gq6jp\r\n", 1)
MAIL, RCPT = b"MAIL FROM:<test@test.com>\r\n", b"RCPT TO:<mmiihhww09@gmail.com>\r\n"
SCRIPTS = {
    "reject": (GREET, EHLO, Step(MAIL, 1), Step(RCPT, 1), QUIT),
    "pipelined": (GREET, EHLO, Step(MAIL + RCPT + b"QUIT\r\n", 3)),
    "ntlm": (GREET, EHLO, Step(b"AUTH NTLM\r\n", 1), QUIT),
    "http": (
        GREET,
        Step(b"GET / HTTP/1.1\r\nHost: 192.0.2.1:25\r\nUser-Agent: %s\r\n" % EXPANSE.encode(), 1),
    ),
}


class Visitor(asyncio.Protocol):
    """Plays one script after another on connections of its own until told to stop."""

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
        self.transport.write(script[self.step].data)

    def connection_lost(self, error: Exception | None) -> None:
        """Counts a session that was played to its end, and begins the next."""
        self.load.ended(complete=self.step >= len(self.load.script) - 1)


class Load:
    """100 visitors at once, for some seconds."""

    def __init__(self, port: int, script: tuple[Step, ...]) -> None:
        self.port, self.script = port, script
        self.sessions = self.failures = 0
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
        """Connects a visitor."""
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: Visitor(self), "127.0.0.1", self.port)

    async def run(self, seconds: float) -> int:
        """Sessions played in `seconds`."""
        for _ in range(CONNECTIONS):
            self.begin()
        await asyncio.sleep(seconds)
        sessions, self.running = self.sessions, False
        await asyncio.sleep(0.3)
        assert self.failures == 0, f"{self.failures} sessions failed"
        return sessions


# The servers. Each serves until its standard input ends.


async def serve_guard(ready: Callable[[int], None], done: asyncio.Event) -> None:
    """Our listener with its real parts."""
    from guard.lib.clock import now
    from guard.lib.fields import Endpoint
    from guard.mail.collapsed import CollapsedRecords
    from guard.mail.recordlog import RecordLog
    from guard.mail.spool import FileSpool
    from guard.relay.policy import StaticPolicy
    from guard.smtp.server import Server
    from guard.smtp.settings import ListenerSettings

    with tempfile.TemporaryDirectory() as folder:
        spool, log = FileSpool(Path(folder) / "spool"), RecordLog(Path(folder) / "records", now)
        spool.open()
        server = Server(
            ListenerSettings(
                listen=Endpoint("127.0.0.1", 0),
                hostname="mx.example.com",
                relay_hosts=(),
                max_connections_per_address=1000,
                max_sessions_per_minute=10**9,
            ),
            policy=StaticPolicy(),
            spool=spool,
            sink=CollapsedRecords(log, 10.0, now),
            nodeid="dd2b41fd-78f0-4105-8cd9-01ac7114cada",
            clock=now,
        )
        await server.start()
        ready(server.addresses[0].port)
        await done.wait()
        await server.stop(1.0)
        log.close()


async def serve_aiosmtpd(ready: Callable[[int], None], done: asyncio.Event) -> None:
    """Stock aiosmtpd with a handler that refuses every recipient."""
    from aiosmtpd.smtp import SMTP

    class Refuse:
        async def handle_RCPT(self, *_: object) -> str:  # noqa: N802 - aiosmtpd's name
            return "550 5.7.1 relaying not permitted"

    handler = Refuse()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(handler, hostname="mx.example.com", loop=loop), "127.0.0.1", 0, backlog=4096
    )
    ready(server.sockets[0].getsockname()[1])
    await done.wait()
    server.close()


class Bare(asyncio.Protocol):
    """Answers by the first letter of a line."""

    ANSWERS: ClassVar = {
        69: b"250-mx.example.com\r\n250-PIPELINING\r\n250 SIZE 1000\r\n",
        77: b"250 OK\r\n",
        82: b"550 5.7.1 relaying not permitted\r\n",
        65: b"504 5.5.4 AUTH NTLM not supported\r\n",
        81: b"221 Bye\r\n",
    }

    def connection_made(self, transport: Any) -> None:
        """Says the banner."""
        self.transport = transport
        transport.write(b"220 mx.example.com ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        """Answers every line at once."""
        unknown = b"502 5.5.1 Command unimplemented\r\n"
        lines = data.split(b"\r\n")[:-1]
        self.transport.write(b"".join(self.ANSWERS.get(line[0], unknown) for line in lines))
        if data.endswith(b"QUIT\r\n"):
            self.transport.close()


async def serve_bare(ready: Callable[[int], None], done: asyncio.Event) -> None:
    """No rules, no records."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Bare, "127.0.0.1", 0, backlog=4096)
    ready(server.sockets[0].getsockname()[1])
    await done.wait()
    server.close()


SERVERS = {"guard": serve_guard, "aiosmtpd": serve_aiosmtpd, "bare": serve_bare}


async def serve(name: str) -> None:
    """Serves, tells the port on standard output, ends when standard input does."""
    done, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_reader(0, lambda: os.read(0, 1) or done.set())
    await SERVERS[name](lambda port: print(port, flush=True), done)
    loop.remove_reader(0)


def cpu(pid: int) -> float:
    """CPU seconds that a process has used, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(name: str, scenario: str, seconds: float) -> float:
    """Sessions per CPU-second."""
    command = [sys.executable, "-m", "benchmarks.smtp", "--serve", name]
    # aiosmtpd warns on standard error of every unknown command: stock it is.
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:
        assert server.stdout
        try:
            cores = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(server.pid, {cores[-1]})
            port = int(server.stdout.readline())
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(Load(port, SCRIPTS[scenario]).run(0.5))  # warm
                before = cpu(server.pid)
                sessions = runner.run(Load(port, SCRIPTS[scenario]).run(seconds))
            return sessions / (cpu(server.pid) - before)
        finally:
            server.communicate()


def run(seconds: float, rounds: int) -> dict[str, dict[str, float]]:
    """Medians of interleaved rounds: scenario -> server -> sessions per CPU-second."""
    found: dict[str, dict[str, list[float]]] = {
        scenario: {name: [] for name in SERVERS} for scenario in SCRIPTS
    }
    for _ in range(rounds):
        for scenario, rows in found.items():
            for name, values in rows.items():
                values.append(measure(name, scenario, seconds))
    return {
        scenario: {name: statistics.median(values) for name, values in rows.items()}
        for scenario, rows in found.items()
    }


def main() -> None:
    """Measures and prints a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", choices=SERVERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(options.serve))
        return
    found = run(options.seconds, options.rounds)
    if options.json:
        print(json.dumps(found))
        return
    print(f"{'sessions per CPU-second':24}" + "".join(f"{name:>10}" for name in SERVERS), end="")
    print(f"{'x aiosmtpd':>12}{'of bare':>9}")
    for scenario, rows in found.items():
        cells = "".join(f"{value:10.0f}" for value in rows.values())
        ours = rows["guard"]
        print(f"{scenario:24}{cells}{ours / rows['aiosmtpd']:12.1f}{ours / rows['bare']:9.2f}")


if __name__ == "__main__":
    main()
