"""A `guard` service of a test: the real program, in a process of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).parent.parent


def guard(*arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Runs one command of `guard` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "guard", *arguments],
        capture_output=True, text=True, timeout=timeout, cwd=PROJECT,
    )  # fmt: skip


class Service:
    """`guard up`, `listener` or `daemon` with a configuration file, ended by its process id."""

    def __init__(self, name: str, config: Path, prefix: tuple[str, ...] = ()) -> None:
        self.name, self.config, self.prefix = name, config, prefix
        self.log = config.with_name(f"{name}.log")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, seconds: float = 20) -> None:
        """Starts it; returns when systemd would be told that it is ready."""
        with (
            tempfile.TemporaryDirectory(prefix="guard-") as folder,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told,
        ):
            # By path: an abstract name would not reach into another network namespace. By a short
            # one: it has to fit into 107 bytes, and a test's own folder may not.
            address = f"{folder}/notify"
            told.bind(address)
            Path(folder).chmod(0o711)
            Path(address).chmod(0o666)
            told.settimeout(0.2)
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(
                    [*self.prefix, sys.executable, "-m", "guard", self.name, "-c", self.config],
                    stdout=log, stderr=log, cwd=PROJECT,
                    env={**os.environ, "NOTIFY_SOCKET": address},
                )  # fmt: skip
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline and self.process.poll() is None:
                try:
                    if told.recv(100) == b"READY=1":
                        return
                except TimeoutError:
                    continue
        raise AssertionError(f"guard {self.name} did not start:\n{self.said()}")

    def said(self) -> str:
        """All that it printed and logged so far."""
        return self.log.read_text(errors="replace")

    def ask(self, *arguments: str) -> list[dict]:
        """What a command answers as JSON, asked of this service."""
        command, *rest = arguments
        done = guard(command, *rest, "--json", "-c", str(self.config))
        assert done.returncode in (0, 1), done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ends it and returns its exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(20)
        finally:
            self.process.kill()
            self.process.wait()
            self.process = None


def dialogue(address: tuple[str, int], *lines: str, source: str | None = None) -> list[str]:
    """The first line of each reply, banner first; a line may hold several, as data does."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family) as sock:
        sock.settimeout(5)
        if source:
            sock.bind((source, 0))
        sock.connect(address)
        with sock.makefile("rb") as stream:
            replies = [_reply(stream)]
            for line in lines:
                sock.sendall(line.encode() + b"\r\n")
                replies.append(_reply(stream))
    return replies


def _reply(stream) -> str:
    first = line = stream.readline().decode()
    while line[3:4] == "-":
        line = stream.readline().decode()
    return first.rstrip()
