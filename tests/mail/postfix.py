"""A real Postfix of a test: its own configuration, queue and ports on loopback, ended by its pid.

Needs root and Debian's package. Nothing of the machine's own Postfix, if it has one, is touched.
"""

import contextlib
import os
import pwd
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest

DAEMONS = Path("/usr/lib/postfix/sbin")
SERVICES = """\
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 1 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
"""
SETTINGS = {
    "compatibility_level": "3.6",
    "inet_interfaces": "127.0.0.1",
    "inet_protocols": "ipv4",
    "mydestination": "",
    "virtual_mailbox_domains": "",
    "local_recipient_maps": "",
    "alias_maps": "",
    "mynetworks": "127.0.0.0/8",
    "myorigin": "client.test",
    "mail_owner": "postfix",
    "setgid_group": "postdrop",
    # Nothing outside is asked for anything.
    "disable_dns_lookups": "yes",
    "smtp_dns_support_level": "disabled",
    "smtpd_peername_lookup": "no",
    "smtp_host_lookup": "native",
    "smtpd_relay_restrictions": "permit_mynetworks, reject",
    "smtpd_client_connection_count_limit": "0",
    "smtpd_tls_security_level": "none",
    "smtp_tls_security_level": "none",
    "always_add_missing_headers": "yes",
}
# A client that loses no time when its relay is down for a moment.
EAGER = {
    "queue_run_delay": "1s",
    "minimal_backoff_time": "1s",
    "maximal_backoff_time": "2s",
    "default_destination_concurrency_failed_cohort_limit": "0",
    "smtp_connect_timeout": "5s",
}


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Postfix:
    """One instance; `settings` go over ours. A context manager: started inside, gone after."""

    def __init__(self, **settings: str) -> None:
        if not shutil.which("postfix"):
            (pytest.fail if os.environ.get("CI") else pytest.skip)("needs postfix")
        # Postfix's own user has to get in, which pytest's folders do not allow.
        self.folder = Path(tempfile.mkdtemp(prefix="guard-postfix-"))
        self.port = free_port()
        self.settings = settings
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.folder.chmod(0o755)
        etc, queue, lib, box = (self.folder / name for name in ("etc", "queue", "lib", "box"))
        for part in (etc, queue, lib, box):
            part.mkdir(mode=0o755)
        owner = pwd.getpwnam("postfix")
        os.chown(lib, owner.pw_uid, owner.pw_gid)
        nobody = pwd.getpwnam("nobody")
        os.chown(box, nobody.pw_uid, nobody.pw_gid)
        values = {
            **SETTINGS,
            "queue_directory": str(queue),
            "data_directory": str(lib),
            "maillog_file_prefixes": str(self.folder),
            "maillog_file": str(self.folder / "log"),
            "myhostname": f"postfix-{self.port}.test",
            "virtual_mailbox_base": str(box),
            "virtual_mailbox_maps": "static:mail/",
            "virtual_minimum_uid": "1",
            "virtual_uid_maps": f"static:{nobody.pw_uid}",
            "virtual_gid_maps": f"static:{nobody.pw_gid}",
            **self.settings,
        }
        (etc / "main.cf").write_text("".join(f"{k} = {v}\n" for k, v in values.items()))
        (etc / "master.cf").write_text(SERVICES.format(port=self.port))
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-days", "2"),
                *("-pkeyopt", "ec_paramgen_curve:P-256", "-subj", "/CN=localhost"),
                *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", etc / "key.pem"),
                *("-out", etc / "certificate.pem"),
            ],
            check=True,
            capture_output=True,
        )
        both = (etc / "key.pem").read_bytes() + (etc / "certificate.pem").read_bytes()
        (etc / "both.pem").write_bytes(both)
        subprocess.run(["postfix", "-c", str(etc), "check"], check=True, stdin=subprocess.DEVNULL)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Starts it and waits until it greets."""
        with (self.folder / "master.out").open("ab") as out:
            self.process = subprocess.Popen(
                [DAEMONS / "master", "-c", self.folder / "etc", "-s"],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
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
        raise AssertionError(f"postfix did not start:\n{self.said()}")

    def stop(self) -> None:
        """Ends it; its processes go with it."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        self.process = None

    def said(self) -> str:
        """Its log."""
        parts = (self.folder / "master.out", self.folder / "log")
        return "".join(p.read_text(errors="replace") for p in parts if p.exists())[-5000:]

    def stored(self) -> Iterator[bytes]:
        """Every message that was delivered into a mailbox here."""
        new = self.folder / "box" / "mail" / "new"
        if new.exists():
            for path in new.iterdir():
                yield path.read_bytes()

    def count(self) -> int:
        """How many messages are in mailboxes."""
        new = self.folder / "box" / "mail" / "new"
        return sum(1 for _ in new.iterdir()) if new.exists() else 0

    def ids(self) -> Counter[str]:
        """How often each Message-ID is in a mailbox."""
        return Counter(message_id(data) for data in self.stored())

    def queued(self) -> int:
        """How many messages wait here to be sent."""
        return sum(
            len(files)
            for name in ("incoming", "active", "deferred", "maildrop")
            for _, _, files in os.walk(self.folder / "queue" / name)
        )


def message_id(data: bytes) -> str:
    """The Message-ID of a message."""
    for line in data.split(b"\n\n", 1)[0].split(b"\n"):
        if line.lower().startswith(b"message-id:"):
            return line.split(b":", 1)[1].strip().decode()
    raise AssertionError("a message without Message-ID")


def inject(
    port: int, numbers: range, *, recipient: str = "user@y.test", size: int = 200
) -> set[str]:
    """Sends numbered messages over one connection; their Message-IDs."""
    ids = set()
    with smtplib.SMTP("127.0.0.1", port, "client.test", timeout=30) as client:
        for number in numbers:
            id_ = f"<{number}.{os.getpid()}@client.test>"
            text = f"From: a@client.test\r\nMessage-ID: {id_}\r\nSubject: {number}\r\n\r\n"
            refused = client.sendmail("a@client.test", [recipient], text + "line\r\n" * 30)
            assert not refused
            ids.add(id_)
    return ids


def eventually(condition: Callable[[], object], seconds: float = 60) -> bool:
    """Whether `condition` holds within so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return bool(condition())
