"""Exim and OpenSMTPD as tools/system-packages unpacked them, run as if they were installed.

Each runs in a mount namespace of its own, where the users and folders that are compiled into it
exist, /dev/log is ours, and names are looked up nowhere. Needs root. Nothing outside the folder of
the test is written; the servers listen on loopback and are ended by their process ids.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Self

import pytest
from support import PROJECT, free_port, need

SERVERS = PROJECT / ".venv" / "servers"
FIRST_ID = 64001
USERS = ("Debian-exim", "opensmtpd", "opensmtpq")
# What is laid over the machine's own: a name in the folder, and the place.
OVER = {
    "passwd": "/etc/passwd",
    "group": "/etc/group",
    "resolv.conf": "/etc/resolv.conf",
    "spool": "/var/spool",
    "lib": "/var/lib",
    "run": "/run",
}
DEVICES = ("null", "zero", "random", "urandom")


def program(server: str, path: str) -> Path:
    """A program of an unpacked server; skips where there is none."""
    found = SERVERS / server / path
    able = os.geteuid() == 0 and all(map(shutil.which, ("apt-get", "dpkg")))
    if able or found.exists():
        need(found.exists(), f"{server} in .venv/servers: tools/system-packages unpacks it")
    else:
        pytest.skip(f"needs {server} in .venv/servers, which only root on Debian can have")
    return found


class Unpacked:
    """One server: `start` runs it, leaving the block ends it and removes its files."""

    def __init__(self) -> None:
        # The server's own user has to get in, which pytest's folders do not allow.
        self.folder = Path(tempfile.mkdtemp(prefix="guard-unpacked-"))
        self.port = free_port()
        self.bans = self.folder / "bans.txt"
        self.log = self.folder / "mail.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.syslog = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.reader = threading.Thread(target=self._write_log)

    def __enter__(self) -> Self:
        folder = self.folder
        folder.chmod(0o755)
        for name in ("spool/smtpd", "lib/opensmtpd/empty", "run", "dev", "exim"):
            (folder / name).mkdir(parents=True)
        (folder / "spool" / "smtpd").chmod(0o711)
        os.chown(folder / "exim", FIRST_ID, FIRST_ID)
        for device in DEVICES:
            (folder / "dev" / device).touch()
        ids = list(enumerate(USERS, FIRST_ID))
        users = [f"{name}:x:{id_}:{id_}::/var/lib/opensmtpd/empty:/bin/false" for id_, name in ids]
        (folder / "passwd").write_text("\n".join(["root:x:0:0::/:/bin/false", *users, ""]))
        groups = [f"{name}:x:{id_}:" for id_, name in ids]
        (folder / "group").write_text("\n".join(["root:x:0:", *groups, ""]))
        (folder / "resolv.conf").write_text("lookup file\n")
        self.syslog.bind(str(folder / "dev" / "log"))
        self.reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"", str(self.folder / "dev" / "log"))
        self.reader.join()
        self.syslog.close()
        shutil.rmtree(self.folder)

    def _write_log(self) -> None:
        """What a syslog daemon does: the host's name goes behind the date."""
        with self.log.open("ab", buffering=0) as log:
            while line := self.syslog.recv(8192):
                _, _, text = line.partition(b">")
                log.write(text[:15] + b" mx" + text[15:] + b"\n")

    def start(self, path: Path, *words: str) -> None:
        """Runs the server in its namespace and waits until it greets."""
        over = [f"mount --bind {self.folder}/{name} {place}" for name, place in OVER.items()]
        devices = [f"mount --bind /dev/{d} {self.folder}/dev/{d}" for d in DEVICES]
        steps = ["set -e", "mount --make-rprivate /", *over, *devices,
                 f"mount --rbind {self.folder}/dev /dev", 'exec "$@"']  # fmt: skip
        with (self.folder / "out").open("wb") as out:
            self.process = subprocess.Popen(
                ["unshare", "-m", "sh", "-c", "\n".join(steps), "sh", str(path), *words],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment(path),
            )  # fmt: skip
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline and self.process.poll() is None:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), 1) as probe,
            ):
                probe.settimeout(5)
                if probe.recv(3) == b"220":
                    probe.sendall(b"QUIT\r\n")
                    return
            time.sleep(0.05)
        raise AssertionError((self.folder / "out").read_text() + self.log.read_text())

    def inside(self, path: Path, *words: str, group: int) -> None:
        """Runs another of its programs where it runs, as a group."""
        assert self.process is not None
        command = ["nsenter", "-t", str(self.process.pid), "-m", "--setgid", str(group), str(path)]
        run = subprocess.run(
            [*command, *words], capture_output=True, timeout=20, env=environment(path)
        )
        assert run.returncode == 0, run.stderr


def environment(path: Path) -> dict[str, str]:
    """Ours, with the libraries that were unpacked with a program of usr/sbin."""
    root = path.parent.parent.parent
    folders = {str(f.parent) for f in root.glob("**/*.so*")}
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(sorted(folders))}
