"""The real fail2ban with our own jails on a log of the last minutes: how long it takes, and whom it
bans. Everything that it writes is in a folder of its own; its actions are none.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import day

PROJECT = Path(__file__).parent.parent
JAILS = ("relay", "auth", "protocol", "scanner", "slow")
# Longer than the log: neither side may call a line too old, nor is there an edge to differ at.
FINDTIME = 4 * 3600
SENTINEL = "11.99.99.99"
LONGEST = 900.0
_BAN = re.compile(r"\[kumomta-(\w+)\] Ban (\S+)")

Bans = set[tuple[str, str]]


@dataclass(frozen=True)
class Run:
    """What a run took: seconds by the clock and of processors; and whom it banned, by jail."""

    wall: float
    processors: float
    bans: Bans


def installed() -> bool:
    """Whether there is a fail2ban to compare with."""
    return shutil.which("fail2ban-server") is not None


def sentinels() -> list[bytes]:
    """The last lines of a log: one address that every jail bans. Whoever bans it has read all."""
    replies = (
        day.Reply(550, (5, 7, 1), "relaying not permitted", "RCPT TO:<a@example.net>"),
        day.Reply(535, (5, 7, 8), "AUTH invalid", "(redacted)"),
        day.Reply(503, (5, 5, 0), "MAIL FROM must be issued first", "DATA"),
        day.Reply(502, (5, 5, 1), "Command unimplemented", "GET / HTTP/1.1"),
    )
    span = day.Span(time.time(), 1.0)
    events = [
        day.Event(0.0, SENTINEL, "user", "Rejection", reply, "0" * 32)
        for reply in replies
        for _ in range(20)
    ]
    return [
        json.dumps(day.record(event, number, span), separators=(",", ":")).encode() + b"\n"
        for number, event in enumerate(events)
    ]


def lay_out(folder: Path, log: Path, jails: Sequence[str]) -> None:
    """A configuration in `folder` for both: our files, and one that sets what the log needs."""
    for name in ("jail.d", "filter.d", "run"):
        (folder / name).mkdir(parents=True)
    for name in ("jail.d", "filter.d"):
        shutil.copy(PROJECT / name / "kumomta.conf", folder / name)
    (folder / "fail2ban.conf").write_text(
        f"[Definition]\nloglevel = NOTICE\nlogtarget = {folder}/fail2ban.log\n"
        f"syslogsocket = auto\nsocket = {folder}/run/sock\npidfile = {folder}/run/pid\n"
        "dbfile = None\ndbpurgeage = 1d\ndbmaxmatches = 0\n[Thread]\n"
    )
    (folder / "jail.conf").write_text("[DEFAULT]\nbackend = polling\nmaxmatches = 0\n")
    (folder / "jail.d" / "kumomta.local").write_text(
        "".join(
            f"[kumomta-{jail}]\nenabled = {str(jail in jails).lower()}\n"
            f"guard = {str(jail in jails).lower()}\nbackend = polling\nlogpath = {log}\n"
            f"findtime = {FINDTIME}\nignoregood = false\naction =\n"
            for jail in JAILS
        )
    )


def run(folder: Path, jails: Sequence[str]) -> Run:
    """Starts a fail2ban-server on what `lay_out` made; ends it when it has read all."""
    log = folder / "fail2ban.log"
    command = ["fail2ban-server", "-f", "-c", str(folder)]
    command += ["-s", f"{folder}/run/sock", "-p", f"{folder}/run/pid", "start"]
    begin = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while {jail for jail, address in bans(log) if address == SENTINEL} != set(jails):
            if process.poll() is not None or time.monotonic() > begin + LONGEST:
                raise RuntimeError("fail2ban-server did not read the log to its end")
            time.sleep(0.05)
        wall = time.monotonic() - begin
        ticks = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    finally:
        process.terminate()
        process.wait(60)
    return Run(wall, sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"), bans(log))


def bans(log: Path) -> Bans:
    """The bans that fail2ban's log tells of."""
    return set(_BAN.findall(log.read_text())) if log.exists() else set()
