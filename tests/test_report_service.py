"""Reporting in the real service: beside the ban path, over a kill, and no secret anywhere."""

import json
import signal
import socket
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


# Refusals of several kinds, as KumoMTA says them; all that a peer can choose says so.
REFUSALS = (
    (550, "5.7.1 relaying not permitted for planted-peer@planted.example", "RCPT TO:<planted@x.y>"),
    (535, "5.7.8 AUTH invalid for planted-user", "AUTH PLAIN planted-password"),
    (502, "5.5.1 Command unimplemented", "PLANTED planted-argument"),
    (501, "Syntax error in command or arguments: planted", "MAIL FROM:planted"),
    (500, "5.5.2 planted", "GET /planted HTTP/1.1"),
    (503, "5.5.1 out of order", "DATA planted"),
    (504, "5.5.4 AUTH PLANTED not supported", "AUTH PLANTED"),
)


def test_a_corpus_of_names_is_in_no_request(tmp_path, server):
    """Whatever peers, recipients, users, jails and this host are called: our words alone go out."""
    jails = tmp_path / "jail.d"
    jails.mkdir()
    (jails / "planted.conf").write_text(
        "[planted-jail]\nenabled = true\nfilter = planted-filter\nlogpath = /planted.log\n"
        "maxretry = 2\nfindtime = 1h\nbantime = 1h\n"
    )
    filters = tmp_path / "filter.d"
    filters.mkdir()
    kinds = "relay_denied auth_failed auth_unsupported command_unimplemented syntax_error non_smtp"
    (filters / "planted-filter.conf").write_text(
        f"[Definition]\nfailregex = ^planted <HOST>$\nkinds = {kinds} bad_sequence scanner\n"
    )
    more = f'[jails]\npath = ["{jails}"]\nfilters = ["{filters}"]\n'
    reporting = Reporting(tmp_path, server, more)
    reporting.service.start()
    try:
        with reporting.log.open("a") as log:
            for number, (code, content, command) in enumerate(REFUSALS):
                row = json.loads(record(f"185.4.1.{number}"))
                row["response"] = {"code": code, "content": content, "command": command}
                row |= {
                    "sender": "planted@planted.example", "recipient": ["planted@planted.example"],
                    "meta": {"authz_id": "planted"}, "headers": {"Subject": "planted"},
                    "session_id": "planted", "nodeid": "planted", "queue": "planted.example",
                }  # fmt: skip
                row["peer_address"]["name"] = "planted.example"
                log.write((json.dumps(row) + "\n") * 3)
        until(lambda: len(server.saved) >= 6, 30)
        told = [
            body + path.encode() + str(headers).encode() for _, path, headers, body in server.asked
        ]
        host = socket.gethostname().encode()
        assert len({report.comment for report in server.saved}) >= 3
        assert not [text for text in told if b"planted" in text.lower() or host in text]
    finally:
        reporting.service.stop()


@pytest.mark.redis
def test_three_hosts_never_overrun_the_quota(tmp_path, server, redis_url):
    """Three real services with one Redis and one key, all with more to tell than there is quota."""
    server.limits |= {"report": 7, "bulk-report": 0}
    fleet = []
    for number in range(3):
        folder = tmp_path / f"host{number}"
        folder.mkdir()
        more = f'per_day = 7\nbulk_per_day = 0\n[store]\nurl = "{redis_url}"\n'
        fleet.append(Reporting(folder, server, more))
    try:
        for reporting in fleet:
            reporting.service.start()
        for number, reporting in enumerate(fleet):
            with reporting.log.open("a") as log:
                for n in range(10):
                    log.write(record(f"185.5.{number}.{n}") * 5)
        waits = until(lambda: _settled([reporting.status() for reporting in fleet], 30), 40)
        assert sum(row["waiting"] for row in waits) == 23
        assert len(server.saved) == 7
        assert len(server.asked) == 7
        assert server.overruns == {}
        assert all(row["quota left"] == 0 for row in waits)
        assert all("quota is spent" in row["error"] for row in waits)
    finally:
        for reporting in fleet:
            reporting.service.stop()


@pytest.mark.redis
def test_a_ban_taken_back_on_any_host_is_never_reported(tmp_path, server, redis_url):
    """The ledger of the fleet is asked before a report goes out."""
    fleet = []
    for name in ("one", "other"):
        folder = tmp_path / name
        folder.mkdir()
        fleet.append(Reporting(folder, server, f'[store]\nurl = "{redis_url}"\n'))
        path = Path(fleet[-1].config)
        path.write_text(path.read_text().replace('after = "0s"', 'after = "6s"'))
    one, other = fleet
    try:
        one.service.start()
        other.service.start()
        one.refuse(FIRST)
        one.refuse(SECOND)
        until(lambda: one.status().get("waiting") == 2, 5)
        assert guard("unban", FIRST, "-c", other.config).returncode == 0
        until(lambda: len(server.saved) == 1, 20)
        assert [report.address for report in server.saved] == [SECOND]
        # The other host's un-ban was heard, or else the ledger says no at the last moment.
        until(lambda: one.status().get("waiting") == 0)
        assert [report.address for report in server.saved] == [SECOND]
    finally:
        for reporting in fleet:
            reporting.service.stop()


def _settled(rows, total):
    """`rows` when all bans are either told or wait, and nobody goes on."""
    told = sum(row["waiting"] + row.get("sent", 0) for row in rows if "waiting" in row)
    return rows if told == total and all(row["error"] for row in rows) else None


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
    assert "answers 401" in reporting.service.said()
    assert KEY not in reporting.service.said()


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
