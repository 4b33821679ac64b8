"""What tests share: a real Redis, the kernel's namespaces, data beside the project.

A test that needs something which this machine lacks skips and says so; in CI (CI=true) it fails
instead, because CI must not skip what needs the kernel, Redis or fail2ban.
"""

import os
import shutil
import socket
import subprocess
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


@pytest.fixture(autouse=True)
def _needs(request: pytest.FixtureRequest) -> None:
    """Honours the markers root, redis and fail2ban."""
    if request.node.get_closest_marker("root"):
        need(os.geteuid() == 0, "root, for network namespaces and the kernel's firewall")
    if request.node.get_closest_marker("redis"):
        need(bool(shutil.which("redis-server")), "redis-server")
    if request.node.get_closest_marker("fail2ban"):
        need(bool(shutil.which("fail2ban-regex")), "fail2ban")


@pytest.fixture
def shared() -> Path:
    """The folder of real samples beside the project; tests of it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("needs the sample data beside the project")
    return SHARED / "data"


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RedisServer:
    """A redis-server of our own on loopback, with its files in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until it answers."""
        self.process = subprocess.Popen(
            [
                "redis-server",
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


@pytest.fixture(scope="session")
def _redis(tmp_path_factory: pytest.TempPathFactory):
    need(bool(shutil.which("redis-server")), "redis-server")
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_url(_redis: RedisServer):
    """The URL of a real, empty Redis that the whole test run shares."""
    import redis

    with redis.Redis.from_url(_redis.url) as client:
        client.flushall()
    return _redis.url


@pytest.fixture
def redis_server(tmp_path: Path):
    """A real Redis of this test alone, which may stop and start it."""
    need(bool(shutil.which("redis-server")), "redis-server")
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()
