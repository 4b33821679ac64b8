"""The webhook under load: requests and records a second that are on disk when they are answered.

    python -m benchmarks.webhook --seconds 5

A receiver in a process of its own, with a fresh inbox, followed and decoded as in a daemon; this
process POSTs over 32 connections that stay open. One record a request is what KumoMTA's log hook
sends; bodies of a hundred are what a shipper of logs sends. The processor time is the receiver's.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.once_writers import record
from guard.sources.settings import WebhookSettings
from guard.sources.webhook import Webhook

CONNECTIONS = 32


def receive(home: Path) -> None:
    """The receiver's process."""

    async def run() -> None:
        settings = WebhookSettings(type="webhook", socket=home / "hook.sock")
        async for _ in Webhook(settings, home / "state").batches():
            pass

    asyncio.run(run())


def connected(path: Path) -> socket.socket:
    """A connection to the receiver, as soon as it listens."""
    while True:
        made = socket.socket(socket.AF_UNIX)
        try:
            made.connect(str(path))
        except OSError:
            made.close()
            time.sleep(0.05)
        else:
            return made


def post(path: Path, each: int, seconds: float, first: int) -> tuple[int, float]:
    """Requests that were answered with 200, and in how many seconds."""
    numbers = itertools.count(first)

    def send(connection: socket.socket) -> None:
        body = b"\n".join(record(next(numbers)) for _ in range(each))
        head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)

    answered = 0
    with selectors.DefaultSelector() as waiting:
        for _ in range(CONNECTIONS):
            connection = connected(path)
            waiting.register(connection, selectors.EVENT_READ)
            send(connection)
        begun = time.monotonic()
        while time.monotonic() < begun + seconds:
            for key, _ in waiting.select(1.0):
                assert isinstance(key.fileobj, socket.socket)
                answer = key.fileobj.recv(4096)
                if not answer.startswith(b"HTTP/1.1 200"):
                    raise SystemExit(f"not taken: {answer[:100]!r}")
                answered += 1
                send(key.fileobj)
        took = time.monotonic() - begun
        for key in list(waiting.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
    return answered, took


def used(process: int) -> float:
    """Processor seconds of a process so far."""
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """The command line, also of the receiver."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.webhook", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--receive", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.receive is not None:
        receive(chosen.receive)
        return 0
    with tempfile.TemporaryDirectory(prefix="guard-webhook-") as home:
        command = [sys.executable, "-m", "benchmarks.webhook", "--receive", home]
        with subprocess.Popen(command) as receiver:
            path, first = Path(home) / "hook.sock", 0
            connected(path).close()
            for each in (1, 100):
                before = used(receiver.pid)
                answered, took = post(path, each, chosen.seconds, first)
                first += 10_000_000
                busy = used(receiver.pid) - before
                print(
                    f"{each} a request: {answered / took:,.0f} requests a second, "
                    f"{each * answered / took:,.0f} records; "
                    f"{each * answered / busy:,.0f} records a second of processor time"
                )
            receiver.kill()
    return 0


if __name__ == "__main__":
    sys.exit(main())
