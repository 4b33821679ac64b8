"""The servers of smtp.py, each alone in its process tree, and what the tree has used.

A server that cannot run here says why (`Missing`). Those in Python all run on uvloop; `--serve`
is how smtp.py starts the two that are nobody's program.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from benchmarks.smtp_load import compiled, core

POSTFIX = Path("/usr/lib/postfix/sbin")
_TICK = os.sysconf("SC_CLK_TCK")


class Missing(Exception):
    """This server cannot run here; the text says why."""


class Running(NamedTuple):
    """A server: its port, the head of its process tree, and how many may ask it at once."""

    port: int
    pid: int
    connections: int = 100


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def started(
    command: Sequence[str | Path], where: int = -1, folder: str | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process on one processor and in a session of its own; ended with all that it began."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, core(where))
    try:
        process = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # aiosmtpd warns of every unknown command: stock it is.
            stderr=subprocess.DEVNULL,
            cwd=folder,
            start_new_session=True,
        )
    finally:
        os.sched_setaffinity(0, before)
    with process:
        try:
            yield process
        finally:
            ours = tree(process.pid)
            process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
            for pid in ours[1:]:
                _end(pid)


def _end(pid: int) -> None:
    """Waits for somebody else's child to end, and ends it."""
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists():
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            return
        time.sleep(0.02)


def reachable(port: int, seconds: float = 15.0) -> None:
    """Waits until somebody listens on `port`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < deadline, f"nobody listens on {port}"
            time.sleep(0.05)
        else:
            return


def _fields(pid: str) -> list[str]:
    """What stands in /proc/PID/stat behind the name; nothing for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def tree(pid: int) -> list[int]:
    """`pid` and all that descend from it."""
    numbers = [each.name for each in Path("/proc").iterdir() if each.name.isdigit()]
    found = {int(number): _fields(number) for number in numbers}
    members = [pid]
    for member in members:
        members += [each for each, some in found.items() if some and int(some[1]) == member]
    return members


def cpu(pid: int) -> float:
    """CPU seconds of a process tree: all threads, and all children that have ended."""
    return sum(_used(member) for member in tree(pid))


def _used(pid: int) -> float:
    """Of the living to the nanosecond where the kernel tells, of the dead in its ticks."""
    own, ended = _fields(str(pid))[11:13], _fields(str(pid))[13:15]
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        living = sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
    except (FileNotFoundError, ProcessLookupError):
        living = sum(map(int, own)) / _TICK
    return living + sum(map(int, ended)) / _TICK


def memory(pid: int) -> int:
    """Bytes of memory of one process, what it shares counted in part (PSS)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no Pss")


@contextmanager
def guard() -> Iterator[Running]:
    """`guard listener`, the program, with its records on their way into Redis and into the log."""
    redis = shutil.which("redis-server")
    if redis is None:
        raise Missing("there is no redis-server for its events")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port, store = free_port(), free_port()
        config = folder / "guard.toml"
        config.write_text(f"""
            state.dir = "{folder}/state"
            store.url = "redis://127.0.0.1:{store}/0"
            log.records = "{folder}/records.jsonl"
            delivery.enabled = false
            # Guard trusts this machine; here it plays the stranger.
            protect = {{ reserved = false, own = false }}
            [[listener]]
            listen = "127.0.0.1:{port}"
            hostname = "mx.example.com"
            relay_hosts = []
            max_sessions_per_minute = 1000000000
            max_connections_per_address = 5000
        """)
        options = ["--port", str(store), "--bind", "127.0.0.1", "--dir", folder, "--save", ""]
        stack.enter_context(started([redis, *options], where=0))
        reachable(store)
        command = [sys.executable, "-m", "guard", "listener", "-c", config]
        process = stack.enter_context(started(command))
        reachable(port)
        yield Running(port, process.pid)


@contextmanager
def spoken(command: Sequence[str | Path]) -> Iterator[Running]:
    """A server that tells its port on standard output."""
    with started(command) as process:
        assert process.stdout
        yield Running(int(process.stdout.readline()), process.pid)


@contextmanager
def responder() -> Iterator[Running]:
    """responder.c."""
    program = compiled("responder.c")
    if program is None:
        raise Missing("there is no compiler")
    with spoken([program]) as running:
        yield running


MAIN_CF = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
daemon_directory = {daemons}
myhostname = mx.example.com
mydestination =
mynetworks =
local_recipient_maps =
inet_interfaces = loopback-only
inet_protocols = ipv4
smtpd_peername_lookup = no
smtpd_relay_restrictions = reject_unauth_destination
smtpd_client_connection_count_limit = 0
smtpd_error_sleep_time = 0
default_process_limit = 2000
postscreen_access_list =
postscreen_cache_map =
postscreen_greet_wait = 1s
postscreen_pipelining_enable = yes
postscreen_pipelining_action = enforce
postscreen_non_smtp_command_enable = yes
postscreen_client_connection_count_limit = 5000
postscreen_pre_queue_limit = 5000
postscreen_post_queue_limit = 5000
syslog_name = guard-benchmark
"""
MASTER_CF = """
127.0.0.1:{port} inet n - n - {number} {service}
smtpd pass - - n - - smtpd
rewrite unix - - n - - trivial-rewrite
anvil unix - - n - 1 anvil
dnsblog unix - - n - 0 dnsblog
tlsproxy unix - - n - 0 tlsproxy
"""


@contextmanager
def postfix(service: str, number: int, connections: int) -> Iterator[Running]:
    """Postfix with one service and nothing of the machine's own configuration.

    It is spared the look-up of names of clients. Its log goes wherever syslog goes.
    """
    if os.geteuid() != 0:
        raise Missing("Postfix has to be started by root")
    if not (POSTFIX / "master").exists():
        raise Missing("Postfix is not installed")
    with tempfile.TemporaryDirectory(prefix=f"guard-postfix-{os.getpid()}-") as name:
        folder, port = Path(name), free_port()
        folder.chmod(0o755)
        for each in ("config", "queue", "data"):
            (folder / each).mkdir()
        os.chown(folder / "data", pwd.getpwnam("postfix").pw_uid, -1)
        config = folder / "config"
        (config / "main.cf").write_text(MAIN_CF.format(folder=folder, daemons=POSTFIX))
        (config / "master.cf").write_text(
            MASTER_CF.format(port=port, service=service, number=number)
        )
        check = ["postfix", "-c", str(config), "check"]  # makes the queue's folders
        subprocess.run(check, check=True, capture_output=True)
        command = [POSTFIX / "master", "-c", config, "-d"]
        with started(command, folder=str(folder / "queue")) as process:
            reachable(port)
            yield Running(port, process.pid, connections)


@contextmanager
def python(name: str) -> Iterator[Running]:
    """One of those below, in an interpreter of its own."""
    with spoken([sys.executable, "-m", "benchmarks.smtp", "--serve", name]) as running:
        yield running


SERVERS: dict[str, Callable[[], Any]] = {
    "guard": guard,
    "aiosmtpd": lambda: python("aiosmtpd"),
    "postfix": lambda: postfix("smtpd", 150, 100),
    # Everybody waits a second for postscreen, so more must do so at once.
    "postscreen": lambda: postfix("postscreen", 1, 800),
    "bare": lambda: python("bare"),
    "c": responder,
}


async def serve_aiosmtpd(ready: Callable[[int], None]) -> None:
    """Stock aiosmtpd with a handler that refuses every recipient."""
    from aiosmtpd.smtp import SMTP

    class Refuse:
        async def handle_RCPT(self, *_: object) -> str:  # noqa: N802 - aiosmtpd's name
            return "550 5.7.1 relaying not permitted"

    handler, loop = Refuse(), asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(handler, hostname="mx.example.com", loop=loop), "127.0.0.1", 0, backlog=4096
    )
    ready(server.sockets[0].getsockname()[1])
    await server.serve_forever()


class Bare(asyncio.Protocol):
    """Answers by the first letter of a line: the most that Python can do."""

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


async def serve_bare(ready: Callable[[int], None]) -> None:
    """No rules, no records."""
    server = await asyncio.get_running_loop().create_server(Bare, "127.0.0.1", 0, backlog=4096)
    ready(server.sockets[0].getsockname()[1])
    await server.serve_forever()


SERVED = {"aiosmtpd": serve_aiosmtpd, "bare": serve_bare}
