"""All of it at once: `guard up` in a namespace, and hosts that knock.

The one test that shows the way from a refused command to a dropped packet.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from netns import World, eventually, inside

pytestmark = pytest.mark.root
_CONFIG = """
[state]
dir = "{folder}/state"
socket = "{folder}/guard.sock"
[[listener]]
listen = "192.0.2.1:2525"
hostname = "mx.example.com"
[firewall]
backend = "{backend}"
ports = [25, 2525]
[protect]
reserved = false
"""


@contextmanager
def running(world: World, folder: Path, backend: str) -> Iterator[subprocess.Popen[str]]:
    """`guard up` on the server, ready to answer."""
    config = folder / "guard.toml"
    config.write_text(_CONFIG.format(folder=folder, backend=backend))
    with inside(world.server), (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "guard", "up", "-c", str(config)], stdout=log, stderr=log
        )
    try:
        up = eventually(lambda: world.innocent.connects("192.0.2.1", 2525), 30)
        assert up, (folder / "log").read_text()
        yield process
    finally:
        process.kill()
        process.wait()


def knock(world: World) -> bool:
    """Asks the listener to relay, as a scanner does; whether it still could."""
    with inside(world.offender.name), socket.socket() as sock:
        sock.settimeout(1)
        try:
            sock.bind((world.offender.v4, 0))
            sock.connect(("192.0.2.1", 2525))
            for line in (b"EHLO x", b"MAIL FROM:<a@b.example>", b"RCPT TO:<c@d.example>"):
                sock.recv(1000)
                sock.sendall(line + b"\r\n")
            return bool(sock.recv(1000))
        except OSError:
            return False


@pytest.mark.parametrize("backend", ["nftables", "iptables"])
def test_a_scanner_is_refused_counted_and_dropped(world: World, tmp_path: Path, backend: str):
    """Some refusals later its packets are gone, on port 25 too; nobody else notices."""
    with running(world, tmp_path, backend) as guard:
        knocks, deadline = 0, time.monotonic() + 20
        while knock(world) and time.monotonic() < deadline:
            knocks += 1
        assert knocks >= 3
        assert eventually(lambda: world.offender.dropped(world.v4, 25))
        assert world.innocent.connects(world.v4, 25)
        assert world.innocent.connects("192.0.2.1", 2525)
        assert not holds_the_firewall(guard.pid)
        # Killed, not stopped: who is banned stays banned, and the small process goes too.
        guard.send_signal(signal.SIGKILL)
        guard.wait()
        assert world.offender.dropped(world.v4, 25)


def test_a_dry_run_of_root_gives_its_privileges_up_too(world: World, tmp_path: Path):
    """It reads strangers' bytes like any other, and has no use for them."""
    with running(world, tmp_path, "dry-run") as guard:
        assert not holds_the_firewall(guard.pid)


def holds_the_firewall(process: int) -> bool:
    """Whether any thread of a process has CAP_NET_ADMIN."""
    said = []
    for task in Path(f"/proc/{process}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that ended meanwhile
            said += (task / "status").read_text().splitlines()
    masks = [line.split()[1] for line in said if line.startswith(("CapEff", "CapPrm"))]
    assert masks
    return any(int(mask, 16) >> 12 & 1 for mask in masks)


def test_bans_are_there_at_once_after_a_restart(world: World, tmp_path: Path):
    """Stopped and started, the same ban holds throughout."""
    command = [sys.executable, "-m", "guard"]
    with running(world, tmp_path, "nftables") as guard:
        config = str(tmp_path / "guard.toml")
        with inside(world.server):
            subprocess.run([*command, "ban", "192.0.2.10", "-c", config], check=True)
        assert world.offender.dropped(world.v4)
        guard.send_signal(signal.SIGTERM)
        assert guard.wait(30) == 0, (tmp_path / "log").read_text()
        assert world.offender.dropped(world.v4)
    with running(world, tmp_path, "nftables"):
        assert world.offender.dropped(world.v4)
        with inside(world.server):
            subprocess.run([*command, "unban", "192.0.2.10", "-c", config], check=True)
        assert world.offender.connects(world.v4)


def test_when_the_firewalls_process_is_gone_the_status_says_so(world: World, tmp_path: Path):
    """All of it killed: nothing starts it again, bans stay, and nobody is told that all is well."""

    def status() -> dict:
        with inside(world.server):
            said = subprocess.run(
                [sys.executable, "-m", "guard", "status", "--json", "-c", config],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
        return json.loads(said.stdout)

    with running(world, tmp_path, "nftables") as guard:
        config = str(tmp_path / "guard.toml")
        assert status()["firewall"].startswith("nftables")
        assert status()["kernel"]["alarm"] == 0
        [first] = children(guard.pid)
        for process in (first, *children(first)):
            os.kill(process, signal.SIGKILL)
        assert eventually(lambda: "does not follow" in status()["firewall"])
        assert status()["kernel"]["alarm"] == 1


def children(process: int) -> list[int]:
    """The processes that a process started."""
    said = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(pid) for pid in said.split()]


def test_a_flushed_ruleset_is_back_within_a_second(world: World, tmp_path: Path):
    """Somebody runs `nft flush ruleset` under a running Guard."""
    with running(world, tmp_path, "nftables"):
        with inside(world.server):
            config = str(tmp_path / "guard.toml")
            subprocess.run(
                [sys.executable, "-m", "guard", "ban", "192.0.2.10", "-c", config], check=True
            )
        for _ in range(3):
            world.run("nft", "flush", "ruleset")
            began = time.monotonic()
            assert eventually(lambda: world.offender.dropped(world.v4))
            assert time.monotonic() - began < 5
        assert "removed" in (tmp_path / "log").read_text()


def test_the_environment_is_not_needed(world: World, tmp_path: Path):
    """The small process finds its code as the main one does, wherever that was started."""
    here = Path.cwd()
    os.chdir("/")
    try:
        with running(world, tmp_path, "auto"):
            assert eventually(lambda: "nftables" in (tmp_path / "log").read_text())
    finally:
        os.chdir(here)
