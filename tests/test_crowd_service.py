"""Thousands who stay, who drip and who flood, while a relay host's mail goes through."""

import json
import os
import re
import resource
import smtplib
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from netns import eventually
from service import Service
from support import free_port

SOAK = "GUARD_SOAK" in os.environ
# All of it, with the minutes that it takes, is for `make soak`.
HELD, DRIPPERS, SECONDS = (10_000, 1_000, 30.0) if SOAK else (5_000, 500, 5.0)
FLOODERS = 8
FRIEND = "127.0.0.25"
CONFIG = """
[state]
dir = "state"
[log]
records = "records.jsonl"
events = "events.jsonl"
[firewall]
backend = "dry-run"
[delivery]
enabled = false
[[listener]]
listen = "127.0.0.1:{port}"
hostname = "mx.example.com"
relay_hosts = ["127.0.0.25"]
client_timeout = "10m"
[protect]
reserved = false
own = false
"""
MESSAGE = "Subject: x\r\n\r\n" + "A line of a message of an ordinary size.\r\n" * 100


def mail(port):
    """How long the relay host's message took, in seconds."""
    began = time.monotonic()
    with smtplib.SMTP("127.0.0.1", port, "friend.example", 30, (FRIEND, 0)) as client:
        assert client.sendmail("a@example.org", ["b@example.net"], MESSAGE) == {}
    return time.monotonic() - began


def resident(pid):
    """The memory of a process in KiB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s*(\d+)", text)[1])


def descriptors(pid):
    """How many files and sockets a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@contextmanager
def crowd(port):
    """Everybody is there; at the end they go, and what they say of it is in the list."""
    told = []
    program = Path(__file__).with_name("crowd.py")
    process = subprocess.Popen(
        [sys.executable, program, *map(str, (port, HELD, DRIPPERS, FLOODERS))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout.readline() == "ready\n"
        yield told
        told.append(json.loads(process.communicate("", 60)[0]))
    finally:
        process.kill()
        process.communicate()


def test_mail_goes_through_in_a_crowd(tmp_path):
    """In its normal time; the memory is bounded, and nothing is left behind but lines of ASCII."""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < HELD + DRIPPERS + 500:
        pytest.skip("needs more open files than this machine allows")
    port, path = free_port(), tmp_path / "guard.toml"
    path.write_text(CONFIG.format(port=port))
    service = Service("up", path)
    service.start()
    try:
        pid = service.process.pid
        alone = [mail(port) for _ in range(20)]
        before, open_before = resident(pid), descriptors(pid)
        with crowd(port) as told:
            began, times = time.monotonic(), []
            full = resident(pid)
            while time.monotonic() < began + SECONDS:
                times.append(mail(port))
            most = resident(pid)
            row = service.ask("status")[0]["listener"][0]
        assert row["connections"] >= HELD + DRIPPERS
        assert told[0]["lost"] == 0
        assert told[0]["floods"] > 10 * SECONDS
        normal = statistics.median(alone)
        assert statistics.median(times) < normal + 0.5, (normal, times)
        assert max(times) < normal + 5.0, (normal, times)
        assert (full - before) / (HELD + DRIPPERS) < 10  # KiB of each
        assert most - full < 100_000, (before, full, most)
        assert eventually(lambda: descriptors(pid) <= open_before + 5, 30)
        assert service.ask("status")[0]["listener"][0]["connections"] == 0
        assert mail(port) < normal + 0.5
    finally:
        assert service.stop() == 0
    for file in ("records.jsonl", "events.jsonl", "up.log"):
        assert not re.search(rb"[^\n -~]", (tmp_path / file).read_bytes())
    assert "Traceback" not in service.said()
    # So many bans at once are an alarm; nothing else is worth one.
    assert not re.search(" error (?!guard.protect: jail )", service.said())
    with (tmp_path / "events.jsonl").open() as lines:
        assert FRIEND not in {json.loads(line)["addr"] for line in lines}
