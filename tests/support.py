"""What test modules import: servers, ports, and what to do where something is missing."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
SHARED = PROJECT.parent / "shared"
os.environ["PATH"] += ":/usr/sbin:/sbin"


def need(present: bool, what: str) -> None:
    """Skips the test, or fails it in CI, unless `what` is present."""
    if not present:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"needs {what}")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def valkey() -> str:
    """The program valkey-server, installed or as tools/system-packages unpacked it."""
    unpacked = PROJECT / ".venv" / "servers" / "valkey" / "usr" / "bin" / "valkey-server"
    found = shutil.which("valkey-server") or (unpacked.exists() and str(unpacked))
    need(bool(found), "valkey-server: tools/system-packages fetches it")
    return str(found)


class Nobody:
    """A protection of nobody."""

    version = 0

    def protects(self, network: object) -> None:
        """Nobody is protected."""


class RedisServer:
    """A redis-server of our own on loopback, with its files in `folder`."""

    def __init__(self, folder: Path, program: str = "redis-server") -> None:
        self.folder, self.port, self.program = folder, free_port(), program
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until it answers."""
        self.process = subprocess.Popen(
            [
                self.program,
                "--port",
                str(self.port),
                "--bind",
                "127.0.0.1",
                "--dir",
                str(self.folder),
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
                "--save",
                "",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as probe:
                    probe.sendall(b"PING\r\n")
                    if probe.recv(16).startswith(b"+PONG"):
                        return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError("redis-server did not start")

    def stop(self) -> None:
        """Kills it as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def documented_firewall() -> Path:
    """The program for the back end `exec` that docs/firewall.md prints, as a file."""
    text = (PROJECT / "docs" / "firewall.md").read_text()
    path = Path(tempfile.gettempdir()) / f"guard-test-firewall-{os.getpid()}.sh"
    path.write_text(text.split("```sh\n")[1].split("```")[0])
    path.chmod(0o700)
    return path
