"""action.d in the real fail2ban: bans reach Guard, and a report tells nothing but an address."""

import json
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest

PROJECT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.fail2ban


class Fail2ban:
    """A fail2ban with one jail, `lab`, that bans who stands in a line of its log."""

    def __init__(self, folder: Path, action: str) -> None:
        self.folder, self.socket = folder, folder / "run" / "sock"
        for name in ("jail.d", "filter.d", "action.d", "run"):
            (folder / name).mkdir()
        for path in (PROJECT / "action.d").glob("*.conf"):
            (folder / "action.d" / path.name).write_bytes(path.read_bytes())
        run = folder / "run"
        (folder / "log").touch()
        (folder / "fail2ban.conf").write_text(
            f"[Definition]\nloglevel = INFO\nlogtarget = {folder}/fail2ban.log\n"
            f"syslogsocket = auto\nsocket = {self.socket}\npidfile = {run}/pid\n"
            f"dbfile = {run}/db\ndbpurgeage = 1d\n"
        )
        (folder / "filter.d" / "lab.conf").write_text(
            "[Definition]\nfailregex = ^ secret <ADDR>$\n"
        )
        (folder / "jail.conf").write_text(
            "[lab]\nenabled = true\nfilter = lab\nbackend = polling\nmaxretry = 1\nfindtime = 10m\n"
            f"bantime = 1h\nignoreself = false\nlogpath = {folder}/log\naction = {action}\n"
        )
        self.start()

    def start(self) -> None:
        """Starts it and waits until it answers."""
        self.process = subprocess.Popen(
            ["fail2ban-server", "-f", "-c", str(self.folder), "-s", str(self.socket),
             "-p", f"{self.folder}/run/pid"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until(lambda: "Jail 'lab' started" in self.said())

    def said(self) -> str:
        """Its log."""
        log = self.folder / "fail2ban.log"
        return log.read_text() if log.exists() else ""

    def fails(self, *addresses: str) -> None:
        """Writes a line for each address into the log."""
        with (self.folder / "log").open("a") as log:
            for address in addresses:
                log.write(time.strftime(f"%b %d %H:%M:%S secret {address}\n"))

    def client(self, *words: str) -> None:
        """fail2ban-client."""
        subprocess.run(
            ["fail2ban-client", "-s", str(self.socket), *words], check=True, capture_output=True
        )

    def stop(self) -> None:
        """Ends it in good order."""
        self.process.terminate()
        self.process.wait(30)


def until(happened, seconds: float = 30) -> None:
    """Waits for something to become true."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def test_a_ban_is_handed_to_guard(tmp_path):
    """Ban with its length, un-ban; a protected address stays free, and the rest goes on."""
    config = tmp_path / "guard.toml"
    config.write_text(
        f'[state]\ndir = "{tmp_path}/state"\n[protect]\nreserved = false\nown = false\n'
        f'allow = ["203.0.113.9"]\n[jails]\npath = ["{PROJECT}/jail.d"]\n'
        f'filters = ["{PROJECT}/filter.d"]\n'
    )
    program = tmp_path / "guard"
    program.write_text(f'#!/bin/sh\ncd {PROJECT} && exec {sys.executable} -m guard "$@"\n')
    program.chmod(0o755)

    def bans() -> dict[str, dict]:
        run = subprocess.run(
            [str(program), "bans", "--json", "-c", str(config)], capture_output=True, text=True
        )
        rows = map(json.loads, run.stdout.splitlines())
        return {row["network"]: row for row in rows}

    folder = tmp_path / "f2b"
    folder.mkdir()
    fail2ban = Fail2ban(folder, f'guard[guard="{program}", config="{config}"]')
    try:
        fail2ban.fails("203.0.113.9", "198.51.100.7", "2001:db8::7")
        until(lambda: len(bans()) == 2)
        found = bans()
        assert set(found) == {"198.51.100.7", "2001:db8::7"}
        row = found["198.51.100.7"]
        assert row["reason"] == "fail2ban lab"
        assert row["until"] - row["since"] == pytest.approx(3600, abs=5)
        assert "is protected" in fail2ban.said()
        fail2ban.client("unban", "198.51.100.7")
        until(lambda: set(bans()) == {"2001:db8::7"})
    finally:
        fail2ban.stop()
    assert set(bans()) == {"2001:db8::7"}


class Reports(BaseHTTPRequestHandler):
    """AbuseIPDB, as far as a report goes."""

    def do_POST(self) -> None:
        """Keeps what was said."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.reports.append((self.headers["Key"], parse_qs(body), body))  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def abuseipdb():
    """A server of ours that takes reports."""
    server = HTTPServer(("127.0.0.1", 0), Reports)
    server.reports = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_report_tells_an_address_and_nothing_else(tmp_path, abuseipdb):
    """No log line, no key in the command line, once in fifteen minutes, never a network."""
    key = tmp_path / "key"
    key.write_text("Key: 0123456789abcdef\n")
    seen = tmp_path / "seen"
    url = f"http://127.0.0.1:{abuseipdb.server_port}/report"
    options = f'keyfile="{key}", seen="{seen}", url="{url}", category="14,18", comment="On port 25"'
    folder = tmp_path / "f2b"
    folder.mkdir()
    reports = abuseipdb.reports
    fail2ban = Fail2ban(folder, f"guard-abuseipdb[{options}]")
    try:
        fail2ban.fails("198.51.100.7", "2001:db8::7")
        until(lambda: len(reports) == 2)
        fail2ban.client("unban", "198.51.100.7")
        fail2ban.fails("198.51.100.7")
        until(lambda: fail2ban.said().count("Ban 198.51.100.7") == 2)
        fail2ban.client("set", "lab", "banip", "2001:db8:9::/64")
        until(lambda: "Ban 2001:db8:9::/64" in fail2ban.said())
        fail2ban.fails("198.51.100.8")
        until(lambda: len(reports) == 3)
    finally:
        fail2ban.stop()
    fail2ban.start()
    try:
        fail2ban.fails("198.51.100.9")
        until(lambda: len(reports) == 4)
    finally:
        fail2ban.stop()
    assert sorted(report[1]["ip"][0] for report in reports) == [
        "198.51.100.7", "198.51.100.8", "198.51.100.9", "2001:db8::7",
    ]  # fmt: skip
    for given, form, body in reports:
        assert given == "0123456789abcdef"
        assert set(form) == {"ip", "categories", "comment"}
        assert (form["categories"], form["comment"]) == (["14,18"], ["On port 25"])
        assert "secret" not in body
    action = (PROJECT / "action.d" / "guard-abuseipdb.conf").read_text()
    assert "returned" not in fail2ban.said() and "ERROR" not in fail2ban.said()
    assert "<matches>" not in action and "<abuseipdb_apikey>" not in action
