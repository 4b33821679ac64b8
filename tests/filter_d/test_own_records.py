"""The records and events of the real listener, in the real fail2ban."""

import json
import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from service import PROJECT, Service, dialogue
from support import free_port

from guard.events import Kind
from guard.lib.conftags import Definition, find_definition

pytestmark = pytest.mark.fail2ban
ORACLE = PROJECT / "tests" / "oracles" / "fail2ban_engine.py"
# Each conversation says what a listener refuses, and nothing twice.
CONVERSATIONS = (
    ("EHLO x", "MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>"),
    ("EHLO x", "AUTH NTLM", "VRFY root", "RCPT TO:<a@b.example>", "MAIL nonsense"),
    ('EHLO "addr":"198.51.100.9"', "MAIL FROM:<a@b.example>", 'RCPT TO:<"addr":"198.51.100.9"@x>'),
    ("EHLO x", "User-Agent: x"),
)


def found(name: str, options: dict[str, str], log: Path) -> int:
    """How many lines of the log fail2ban finds, all of them of this host."""
    lines = log.read_text("utf-8").rstrip("\n").split("\n")
    asked = {"base": str(PROJECT), "filter": name, "options": options, "lines": lines}
    run = subprocess.run(
        ["/usr/bin/python3", str(ORACLE)],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "TZ": "UTC"},
    )
    matches = [line for line in json.loads(run.stdout)["found"] if line]
    assert all(len(line) == 1 and line[0][0] == "127.0.0.1" for line in matches)
    for line, text in zip(json.loads(run.stdout)["found"], lines, strict=True):
        assert not line or int(line[0][1]) == json.loads(text)["timestamp"]
    return len(matches)


def test_fail2ban_finds_what_the_listener_refused(tmp_path):
    """Mode by mode as many as the records and events say, whatever the peer wrote."""
    port = free_port()
    config = tmp_path / "guard.toml"
    config.write_text(
        f'[state]\ndir = "{tmp_path}/state"\n'
        f'[log]\nrecords = "{tmp_path}/records.jsonl"\nevents = "{tmp_path}/events.jsonl"\n'
        f'collapse = "0s"\n[jails]\npath = ["{PROJECT}/jail.d"]\nfilters = ["{PROJECT}/filter.d"]\n'
        f'[[listener]]\nlisten = "127.0.0.1:{port}"\nrelay_hosts = ["192.0.2.1"]\n'
    )
    service = Service("up", config)
    service.start()
    try:
        for lines in CONVERSATIONS:
            dialogue(("127.0.0.1", port), *lines)
    finally:
        service.stop()
    conf = find_definition("kumomta", (PROJECT / "filter.d",))
    assert conf is not None
    for log, name, key in (
        ("records.jsonl", "kumomta", "kind"),
        ("events.jsonl", "guard", "event"),
    ):
        path = tmp_path / log
        said = Counter(json.loads(line).get(key) for line in path.read_text().splitlines())
        assert sum(said.values()) >= 7, path.read_text()
        for mode in ("relay", "auth", "protocol", "scanner", "aggressive", "all"):
            words = (Definition(conf, {"mode": mode}).get("kinds") or "").split()
            expected = sum(said[kind] for kind in words)
            assert found(name, {"mode": mode}, path) == expected, (log, mode, said)
        assert said[Kind.RELAY_DENIED] and said[Kind.AUTH_UNSUPPORTED] and said[Kind.NON_SMTP]
