"""Reporting in the real service: beside the ban path, over a kill, and no secret anywhere."""

import json
import signal
import time
from pathlib import Path

import pytest
from abuseipdb_server import AbuseIpdb
from service import Service, guard

KEY = "5ec7e70fc0ffee00c0ffee00c0ffee00"
# Addresses of the public Internet, which are only ever written down: the firewall is dry-run.
FIRST, SECOND = "185.4.0.7", "185.4.0.8"
RECIPIENT, PEER, HELO = "victim@customer.example", "WIN-9QL4SDRB93L", "evil.helo.example"


def record(address, *, when=None):
    """A refusal as KumoMTA logs it, full of what must not be told."""
    return json.dumps(
        {
            "type": "Rejection", "timestamp": int(when or time.time()), "sender": f"me@{HELO}",
            "recipient": RECIPIENT,
            "response": {
                "code": 550, "enhanced_code": {"class": 5, "subject": 7, "detail": 1},
                "content": f"relaying not permitted for {RECIPIENT}",
                "command": f"RCPT TO:<{RECIPIENT}>",
            },
            "peer_address": {"name": PEER, "addr": address},
        }
    ) + "\n"  # fmt: skip


class Reporting:
    """A daemon that follows a file, and AbuseIPDB."""

    def __init__(self, folder: Path, server: AbuseIpdb, more: str = "") -> None:
        self.log = folder / "records.jsonl"
        self.log.touch()
        (folder / "abuseipdb.key").write_text(KEY + "\n")
        (folder / "abuseipdb.key").chmod(0o600)
        self.events = folder / "events.jsonl"
        config = folder / "guard.toml"
        config.write_text(
            f'[state]\ndir = "state"\n[log]\nevents = "{self.events}"\n'
            f'[[source]]\ntype = "kumomta-log"\npath = "{self.log}"\n'
            f'[report.abuseipdb]\nkey_file = "abuseipdb.key"\nurl = "{server.url}"\nafter = "0s"\n'
            + more
        )
        self.service = Service("daemon", config)
        self.config = str(config)

    def refuse(self, address, times=5):
        with self.log.open("a") as log:
            log.write(record(address) * times)

    def banned(self):
        lines = self.events.read_text().splitlines() if self.events.exists() else []
        return [row["addr"] for row in map(json.loads, lines) if row["event"] == "ban"]

    def status(self):
        [answer] = self.service.ask("status")
        return answer["report"][0]


def until(true, seconds=15.0):
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return found


@pytest.fixture
def server():
    with AbuseIpdb(key=KEY) as made:
        yield made


@pytest.fixture
def reporting(tmp_path, server):
    made = Reporting(tmp_path, server)
    yield made
    made.service.stop()


def test_a_ban_is_reported_and_nothing_private_is_told(reporting, server, tmp_path):
    """End to end; what peers and recipients are called is not told, and the key is not shown."""
    reporting.service.start()
    reporting.refuse(FIRST)
    [report] = until(lambda: list(server.saved))
    assert (report.address, report.categories) == (FIRST, "11")
    bodies = b"".join(body for *_, body in server.asked).decode()
    for planted in (RECIPIENT, PEER, HELO, "victim", "customer", "example"):
        assert planted not in bodies
    row = until(lambda: (r := reporting.status())["waiting"] == 0 and r)
    assert (row["sent"], row["quota left"], row["error"]) == (1, 999, "")
    pid = reporting.service.process.pid
    shown = [
        reporting.service.said(),
        str(reporting.service.ask("status")),
        Path(f"/proc/{pid}/cmdline").read_bytes().decode(),
        Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace"),
        *(path.read_bytes().decode("latin-1") for path in (tmp_path / "state").iterdir()
          if path.is_file()),
    ]  # fmt: skip
    assert not [text for text in shown if KEY in text]


def test_a_server_that_hangs_delays_no_ban_and_no_stop(reporting, server):
    """Bans go on at once while a call waits for an answer; the service ends all the same."""
    server.way = "hang"
    reporting.service.start()
    reporting.refuse(FIRST)
    until(lambda: server.asked)
    begun = time.monotonic()
    reporting.refuse(SECOND)
    until(lambda: SECOND in reporting.banned(), 5)
    assert time.monotonic() - begun < 3
    assert reporting.status()["waiting"] == 2
    begun = time.monotonic()
    assert reporting.service.stop() == 0
    assert time.monotonic() - begun < 8
    server.way = ""
    reporting.service.start()
    until(lambda: len(server.saved) == 2)
    assert {report.address for report in server.saved} == {FIRST, SECOND}


def test_what_waits_survives_a_kill(reporting, server):
    """SIGKILL while AbuseIPDB is in trouble: after the next start it is told, once."""
    server.way = "500"
    reporting.service.start()
    reporting.refuse(FIRST)
    until(lambda: reporting.status().get("failures"))
    reporting.service.stop(signal.SIGKILL)
    rows = [json.loads(line) for line in _guard(reporting, "list").stdout.splitlines()]
    assert [row["address"] for row in rows] == [FIRST]
    assert "answers 500" in rows[0]["error"]
    server.way = ""
    reporting.service.start()
    reporting.service.ask("report", "send")
    until(lambda: len(server.saved) == 1 or reporting.service.ask("report", "send") is None, 45)
    assert [report.address for report in server.saved] == [FIRST]


def _guard(reporting, *words, as_json=True):
    done = guard(
        "report", *words, *(["--json"] if as_json else []), "-c", reporting.config, timeout=60
    )
    assert KEY not in done.stdout + done.stderr
    return done


@pytest.mark.parametrize("running", [True, False])
def test_reports_by_hand(reporting, server, running):
    """List, send and clear answer the same with a daemon and without one."""
    server.way = "401"
    reporting.service.start()
    reporting.refuse(FIRST)
    reporting.refuse(SECOND)
    until(lambda: reporting.status()["waiting"] == 2 and reporting.status()["error"])
    if not running:
        reporting.service.stop()
    assert _guard(reporting, "send").returncode == 69
    plain = _guard(reporting, "send", as_json=False)
    assert (plain.returncode, "answers 401" in plain.stderr) == (69, True)
    server.way = ""
    dry = json.loads(_guard(reporting, "send", "--dry-run").stdout)
    assert sorted(row["address"] for row in dry["would send"]) == [FIRST, SECOND]
    assert FIRST in _guard(reporting, "send", "--dry-run", as_json=False).stdout
    assert server.saved == []
    assert FIRST in _guard(reporting, "list", as_json=False).stdout
    sent = _guard(reporting, "send")
    assert (sent.returncode, json.loads(sent.stdout)["told"]) == (0, {"sent": 2})
    assert "nothing was sent; 0 wait" in _guard(reporting, "send", as_json=False).stdout
    assert "no report waits" in _guard(reporting, "list", as_json=False).stdout
    cleared = _guard(reporting, "clear", FIRST)
    assert json.loads(cleared.stdout) == {
        "address": FIRST, "forgotten": False, "deleted": 1, "dry_run": False,
    }  # fmt: skip
    assert [report.address for report in server.saved] == [SECOND]
    assert _guard(reporting, "clear", FIRST).returncode == 1
    assert _guard(reporting, "clear", "nonsense").returncode == 65


def test_without_the_section_nobody_is_told(tmp_path, server):
    """Off by default, and the commands say how to switch it on."""
    config = tmp_path / "guard.toml"
    config.write_text('[state]\ndir = "state"\n')
    done = guard("report", "list", "-c", str(config))
    assert (done.returncode, "not configured" in done.stderr) == (65, True)
    service = Service("daemon", config)
    service.start()
    try:
        done = guard("report", "list", "-c", str(config))
        assert (done.returncode, "not configured" in done.stderr) == (65, True)
        assert "report" not in service.ask("status")[0]
    finally:
        service.stop()


def test_a_ban_taken_back_is_never_reported(tmp_path, server):
    """`after` is the time to notice."""
    reporting = Reporting(tmp_path, server)
    path = Path(reporting.config)
    path.write_text(path.read_text().replace('after = "0s"', 'after = "1h"'))
    reporting.service.start()
    try:
        reporting.refuse(FIRST)
        reporting.refuse(SECOND)
        until(lambda: reporting.status().get("waiting") == 2)
        assert guard("unban", FIRST, "-c", reporting.config).returncode == 0
        row = until(lambda: (r := reporting.status())["waiting"] == 1 and r)
        assert row["taken back"] == 1
        assert [r["address"] for r in reporting.service.ask("report", "list")] == [SECOND]
        assert server.asked == []
    finally:
        reporting.service.stop()
