"""How long a ban takes from one host to the kernels of the others: two daemons on one Redis.

    python -m benchmarks.fleet --bans 200

Both are real daemons with firewalls that only say what they would block. From the answer of
`guard ban` at the first to the line of the second; p50, p99 and the worst.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.once_writers import free_port
from benchmarks.pipes import until_unread
from guard.control import NoDaemon, call

CONFIG = """
[state]
dir = "state"
[store]
url = "redis://127.0.0.1:{port}/0"
[firewall]
backend = "dry-run"
[protect]
reserved = false
own = false
"""


class Host:
    """A daemon with a folder of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        folder.mkdir()
        (folder / "guard.toml").write_text(CONFIG.format(port=port))
        self._socket = folder / "state" / "guard.sock"
        self.log = folder / "log"
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "guard", "daemon", "-c", str(folder / "guard.toml")]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def ban(self, network: str) -> None:
        """Returns when this host blocks it."""
        call(self._socket, "ban", network=network)

    def ready(self) -> bool:
        """Whether it answers."""
        try:
            call(self._socket, "status")
        except (NoDaemon, OSError):
            return False
        return True


def until(said: str, log: Path, seconds: float = 30.0) -> float:
    """When `log` said it, on the monotonic clock."""
    deadline = time.monotonic() + seconds
    with log.open("rb") as file:
        while time.monotonic() < deadline:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
            if said.encode() in file.read():
                return time.monotonic()
            time.sleep(0.0005)
    raise SystemExit(f"{said!r} was never said in {seconds:g} s")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description=__doc__)
    parser.add_argument("--bans", type=int, default=200)
    bans = parser.parse_args().bans
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="guard-fleet-") as home, ExitStack() as stack:
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
        server = subprocess.Popen([*command, "--dir", home], stdout=subprocess.DEVNULL)
        stack.callback(server.wait)
        stack.callback(server.terminate)
        time.sleep(0.5)
        hosts = [Host(Path(home) / name, port) for name in ("one", "two")]
        for host in hosts:
            stack.callback(host.process.wait)
            stack.callback(host.process.terminate)
        while not all(host.ready() for host in hosts):
            time.sleep(0.1)
        took = []
        for number in range(bans):
            network = f"198.51.100.{number % 250}" if number < 250 else f"203.0.113.{number % 250}"
            begun = time.monotonic()
            hosts[0].ban(network)
            took.append(until(f"would block {network} ", hosts[1].log) - begun)
            time.sleep(0.02)
    took.sort()
    p50, p99 = took[len(took) // 2], took[min(len(took) - 1, len(took) * 99 // 100)]
    print(
        f"{bans} bans, command to the other host's firewall: "
        f"p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, worst {took[-1] * 1000:.0f} ms"
    )
    return 0


if __name__ == "__main__":
    sys.exit(until_unread(main))
