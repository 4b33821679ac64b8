"""From the last rejection of a thousand hosts to the first dropped packet of each.

    python -m benchmarks.lag

A log of refusals grows by one line for each of a thousand addresses, each one's fifth: all in one
write, or one after the other within a second. Guard and fail2ban read the same log and ban by
nftables, fail2ban with the filter that comes with Guard. Meanwhile a packet of each address comes
in every few milliseconds (prober.c), so that it is seen which one is the first to be dropped; that
takes more than half of a processor. What other programs took of the processors meanwhile is told as
well, for it is part of what is measured. Needs root, for the network namespaces that all of this
happens in, and a C compiler.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks import fail2ban as theirs
from benchmarks.firewall import show
from benchmarks.pipes import until_unread

OFFENDERS = 1000
ROUNDS = 9
MAXRETRY = 5
FIRST = "11.1.0.0"
SERVER = "192.0.2.1"
_GUARD = """
[state]
dir = "state"
socket = "guard.sock"
[jails]
path = ["jail.d"]
filters = ["filter.d"]
[protect]
senders = false
refresh = 0
[firewall]
backend = "nftables"
ports = [25]
[[source]]
type = "kumomta-log"
path = "log"
"""


def addresses(turn: int) -> list[str]:
    """The offenders of one round."""
    return [f"11.{turn + 1}.{number // 256}.{number % 256}" for number in range(OFFENDERS)]


def line(address: str, when: float) -> str:
    """One refusal, as a stock KumoMTA records it."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(when))
    record = {
        "type": "Rejection",
        "id": "",
        "sender": "",
        "recipient": "",
        "response": {
            "code": 550,
            "enhanced_code": {"class": 5, "subject": 7, "detail": 1},
            "content": f"relaying not permitted for {address}:50312",
            "command": "RCPT TO:<a@b.example>",
        },
        "peer_address": {"name": "client", "addr": address},
        "timestamp": int(when),
        "event_time": f"{stamp}.{int(when % 1 * 1e9):09d}Z",
        "created": int(when),
        "session_id": "9bcd689e-23d9-41b7-a015-63a1382f8b57",
    }
    return json.dumps(record, separators=(",", ":")) + "\n"


def run(*command: str) -> None:
    """Runs a program that must succeed."""
    subprocess.run(command, check=True, capture_output=True)


class Link:
    """Two namespaces and what connects them; the addresses of all rounds are routed."""

    def __init__(self, stack: ExitStack) -> None:
        tag = f"lag{os.getpid():x}"
        self.server, self.offender = f"{tag}s", f"{tag}o"
        for name in (self.server, self.offender):
            run("ip", "netns", "add", name)
            stack.callback(run, "ip", "netns", "delete", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        peer = ("peer", "name", "e1", "netns", self.offender)
        run("ip", "-n", self.server, "link", "add", "e0", "type", "veth", *peer)
        run("ip", "-n", self.server, "address", "add", f"{SERVER}/24", "dev", "e0")
        run("ip", "-n", self.offender, "address", "add", "192.0.2.2/24", "dev", "e1")
        run("ip", "-n", self.server, "link", "set", "e0", "up")
        run("ip", "-n", self.offender, "link", "set", "e1", "up")
        run("ip", "-n", self.server, "route", "add", "11.0.0.0/8", "via", "192.0.2.2")
        told = subprocess.run(
            ["ip", "-j", "-n", self.server, "link", "show", "e0"], check=True, capture_output=True
        )
        self.mac = json.loads(told.stdout)[0]["address"]

    def prober(self, program: Path, turn: int, every: float, length: float) -> list[str]:
        """The command that probes the addresses of a round."""
        place = [self.server, "e1", self.mac, f"11.{turn + 1}.0.0", str(OFFENDERS), SERVER]
        inside = ["ip", "netns", "exec", self.offender]
        return [*inside, str(program), *place, str(round(every * 1e6)), str(round(length * 1e3))]


def compiled(folder: Path) -> Path:
    """The prober."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        sys.exit("needs a C compiler")
    program = folder / "prober"
    run(compiler, "-O2", "-o", str(program), str(Path(__file__).with_name("prober.c")))
    return program


@contextmanager
def guard(folder: Path, link: Link) -> Iterator[Callable[[], int]]:
    """A daemon that reads the log; what it yields tells how many refusals it has counted."""
    (folder / "guard.toml").write_text(_GUARD)
    notify = folder / "notify"
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told,
        # Not beside the log: whatever is written there wakes its reader.
        (folder.parent / "out").open("w") as out,
    ):
        told.bind(str(notify))
        told.settimeout(30)
        command = [sys.executable, "-m", "guard", "daemon", "-c", str(folder / "guard.toml")]
        process = subprocess.Popen(
            ["ip", "netns", "exec", link.server, *command],
            env={**os.environ, "NOTIFY_SOCKET": str(notify)},
            stdout=out,
            stderr=out,
        )
        try:
            told.recv(100)
            yield lambda: _heard(folder)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def _heard(folder: Path) -> int:
    from guard.control import call

    return int(call(folder / "guard.sock", "status")["counting"]["counted"])


@contextmanager
def fail2ban(folder: Path, link: Link) -> Iterator[Callable[[], int]]:
    """fail2ban-server with its nftables action on the same log."""
    base = ["-c", str(folder), "-s", f"{folder}/run/sock", "-p", f"{folder}/run/pid"]
    inside = ["ip", "netns", "exec", link.server]
    process = subprocess.Popen(
        [*inside, "fail2ban-server", *base, "-f", "start"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    client = ["fail2ban-client", *base]
    try:
        while subprocess.run([*client, "ping"], capture_output=True).returncode:
            time.sleep(0.1)

        def heard() -> int:
            told = subprocess.run(
                [*client, "status", "kumomta-relay"], capture_output=True, text=True, check=True
            ).stdout
            return int(told.split("Total failed:")[1].split()[0])

        yield heard
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def at_once(log: Path, turn: int) -> list[int]:
    """The last line of each address in one write; when that was done, for each."""
    last = "".join(line(address, time.time()) for address in addresses(turn)).encode()
    with log.open("ab", buffering=0) as file:
        file.write(last)
        return [time.time_ns()] * OFFENDERS


def one_by_one(log: Path, turn: int) -> list[int]:
    """The same, a thousandth of a second after each other."""
    written, begun = [], time.monotonic()
    with log.open("ab", buffering=0) as file:
        for number, address in enumerate(addresses(turn)):
            time.sleep(max(0.0, begun + number / OFFENDERS - time.monotonic()))
            file.write(line(address, time.time()).encode())
            written.append(time.time_ns())
    return written


Writer = Callable[[Path, int], list[int]]


def measure(
    write: Writer, folder: Path, way: list[str], heard: Callable[[], int], turn: int
) -> list[float]:
    """Seconds to the first dropped packet of each address; `way` runs the prober."""
    log, now = folder / "log", time.time()
    before = heard()
    with log.open("a") as file:
        for _ in range(MAXRETRY - 1):
            file.write("".join(line(address, now) for address in addresses(turn)))
    deadline = time.monotonic() + 60
    while heard() < before + OFFENDERS * (MAXRETRY - 1):
        if time.monotonic() > deadline:
            raise RuntimeError("the log was not read")
        time.sleep(0.1)
    prober = subprocess.Popen(way, stdout=subprocess.PIPE, text=True)
    time.sleep(0.5)
    written = write(log, turn)
    said, _ = prober.communicate(timeout=200)
    dropped = [int(number) for number in said.split()]
    if 0 in dropped or len(dropped) != OFFENDERS:
        raise RuntimeError(f"{dropped.count(0)} offenders were never dropped")
    lags = [(when - begun) / 1e9 for when, begun in zip(dropped, written, strict=True)]
    # One whose packet was lost on the way, just before it was banned, says nothing.
    sure = [lag for lag in lags if lag > 0]
    if len(sure) < 0.99 * OFFENDERS:
        raise RuntimeError("packets were lost without a ban: the machine is too busy")
    return sure


def busy() -> float:
    """Seconds that all processors have worked so far."""
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    ticks = [int(word) for word in words]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


class Round(NamedTuple):
    """What one round took, and how many processors all took but the prober meanwhile."""

    others: float
    lags: list[float]


def round_of(measured: Callable[[], list[float]]) -> Round:
    """One round, watched."""
    began, worked, mine = time.monotonic(), busy(), os.times()
    lags = measured()
    now = os.times()
    prober = now.children_user + now.children_system - mine.children_user - mine.children_system
    return Round((busy() - worked - prober) / (time.monotonic() - began), lags)


def told(name: str, lags: list[float], beside: float = 0.0) -> float:
    """Prints the percentiles of one, and returns the 99th."""
    cuts = statistics.quantiles(lags, n=100)
    show(f"{name}: half are dropped within", cuts[49])
    show("  99 of 100 within", cuts[98], *(("fail2ban", cuts[98] / beside) if beside else ()))
    show("  the last one within", max(lags))
    return cuts[98]


def main() -> None:
    """fail2ban once, Guard several times; each round has offenders of its own."""
    if os.geteuid() != 0:
        sys.exit("needs root, for network namespaces and the kernel's firewall")
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        program, beside = compiled(home), 0.0
        if theirs.installed() and "guard" not in sys.argv[1:]:
            link = Link(stack)
            folder = home / "fail2ban"
            theirs.lay_out(folder, folder / "log", ["relay"])
            for part in ("action.d",):
                (folder / part).symlink_to(f"/etc/fail2ban/{part}")
            local = folder / "jail.d" / "kumomta.local"
            action = 'nftables-multiport[name=lag, port="25"]'
            local.write_text(local.read_text().replace("action =", f"action = {action}", 1))
            (folder / "log").touch()
            with fail2ban(folder, link) as heard:
                way = link.prober(program, 0, 0.06, 60.0)
                beside = told("fail2ban, all at once", measure(at_once, folder, way, heard, 0))
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        program, link, folder = compiled(home), Link(stack), home / "guard"
        theirs.lay_out(folder, folder / "log", ["relay"])
        (folder / "log").touch()
        turns = itertools.count()
        with guard(folder, link) as heard:
            for name, write in (("all at once", at_once), ("within a second", one_by_one)):
                rounds = []
                for turn in itertools.islice(turns, ROUNDS):
                    way = link.prober(program, turn, 0.005, 3.0)
                    rounds.append(round_of(partial(measure, write, folder, way, heard, turn)))
                told(f"Guard, {name}", [lag for each in rounds for lag in each.lags], beside)
                ends = [statistics.quantiles(each.lags, n=100)[98] for each in rounds]
                show("  99 of 100 within, in the middle one of the rounds", statistics.median(ends))
                quiet = sorted(rounds)[: ROUNDS // 3]
                others = f"others up to {quiet[-1].others:.1f} processors"
                told(f"  {others}", [lag for each in quiet for lag in each.lags], beside)


if __name__ == "__main__":
    sys.exit(until_unread(main))
