"""Exported jails are what fail2ban then runs."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from guard.jails.export import filter_files, jail_file, scanner_file
from guard.jails.files import jail_conf, load_jails
from guard.lib.networks import parse_network

PROJECT = Path(__file__).parent.parent.parent
ORACLE = PROJECT / "tests" / "oracles" / "fail2ban_reader.py"


@pytest.fixture
def folders(tmp_path):
    """Jail files with defaults, interpolation and an override, and two filters, one with parts."""
    jails, filters = tmp_path / "jail.d", tmp_path / "filter.d"
    jails.mkdir()
    filters.mkdir()
    (jails / "a.conf").write_text(
        "[DEFAULT]\nhours = 2h\nbantime.increment = true\nignoreip = 192.0.2.1\nother = 1\n"
        "[one]\nguard = true\nignoregood = true\nfilter = text[a=b]\nfindtime = %(hours)s\n"
        "port = smtp,%(other)s\naction = %(action_)s\nlogpath = /var/log/a\n    /var/log/b\n"
        "usage = 100%%\nabuseipdb.score = 75\nabuseipdb.maxretry = 2\n[off]\nfilter = text\n"
        "[two]\nguard = true\nfilter = plain\nbantime = -1\nmaxretry = 2\n"
    )
    (jails / "a.local").write_text("[one]\nmaxretry = 9\n")
    (filters / "text.conf").write_text(
        "[INCLUDES]\nbefore = part.conf\n[Definition]\nfailregex = ^<a> <HOST> %(end)s\n"
    )
    (filters / "part.conf").write_text("[Definition]\nend = $\n")
    (filters / "part.local").write_text("[Definition]\nend = z$\n")
    (filters / "plain.conf").write_text("[Definition]\nfailregex = ^<HOST>$\n")
    return jails, filters


def exported(folders, ignore=(), logpath=None):
    """The text of the jail file and the names of the filter files."""
    jails, filters = folders
    read = load_jails([jails], [filters])
    text = jail_file(jail_conf([jails]), read, [parse_network(n) for n in ignore], logpath)
    return text, filter_files(read, [filters])


def test_a_jail_is_written_with_everything_that_counts(folders):
    """Ours is left out, the rest is resolved, what only fail2ban can resolve stays."""
    text, files = exported(folders, ["198.51.100.0/24"])
    assert sorted(files) == ["part.conf", "part.local", "plain.conf", "text.conf"]
    assert "guard =" not in text and "ignoregood" not in text and "[off]" not in text
    assert "abuseipdb" not in text
    one = text[text.index("[one]") : text.index("[two]")]
    for line in (
        "enabled = true", "filter = text[a=b]", "maxretry = 9", "findtime = 7200", "bantime = 600",
        "bantime.increment = true", "ignoreip = 192.0.2.1 198.51.100.0/24", "port = smtp,1",
        "action = %(action_)s", "logpath = /var/log/a\n    /var/log/b", "usage = 100%%",
    ):  # fmt: skip
        assert f"\n{line}\n" in one, line
    assert "\nbantime = -1\n" in text[text.index("[two]") :]
    assert "logpath = /x\n" in exported(folders, logpath="/x")[0]


def test_a_filter_from_elsewhere_is_not_taken_along(folders, tmp_path):
    """An include that leads out of the folders of filters would write a file of any name."""
    (tmp_path / "outside.conf").write_text("[Definition]\nend = $\n")
    (folders[1] / "part.conf").write_text("[INCLUDES]\nbefore = ../outside.conf\n")
    with pytest.raises(ValueError, match="outside"):
        exported(folders)


@pytest.mark.fail2ban
def test_fail2ban_runs_what_was_exported(folders, tmp_path):
    """The same values, read by the real fail2ban from the exported files alone."""
    text, files = exported(folders)
    base = tmp_path / "there"
    (base / "jail.d").mkdir(parents=True)
    (base / "filter.d").mkdir()
    (base / "jail.conf").write_text("[DEFAULT]\naction_ =\nbackend = polling\n")
    (base / "jail.d" / "guard-jails.conf").write_text(text)
    for name, path in files.items():
        (base / "filter.d" / name).write_bytes(path.read_bytes())
    run = subprocess.run(
        ["/usr/bin/python3", str(ORACLE)],
        input=json.dumps({"base": str(base), "jails": True}),
        capture_output=True,
        text=True,
        check=True,
    )
    jails = json.loads(run.stdout)["jails"]
    assert list(jails) == ["one", "two"]
    said = {command[2]: command[3:] for command in jails["one"] if command[0] == "set"}
    assert said["maxretry"] == [9]
    assert said["findtime"] == ["7200"]
    assert said["bantime.increment"] == [True]
    assert said["addignoreip"] == ["192.0.2.1"]
    assert said["addfailregex"] == ["^b <HOST> z$"]


NAMES = [r"^a-scanner\b", r"(^|\.)b\.example$", "c sc.n", "[d-f]{3}x?$", "100% sure", "^ylmf-pc$"]
SAID = [
    "a-scanner", "a-scanner.example", "xa-scanner", "b.example", "x.b.example", "xb.example",
    "b.example.com", "c scan", "c sc\"n", 'x"', '"a-scanner', "deF", "defx", "defxx",
    "100% sure it", "YLMF-PC", "mx.example.com", "", "\\", "\\b.example", '"b.example',
]  # fmt: skip


def test_names_become_expressions_inside_of_json_strings():
    """They find in the record exactly what they find in the name, and never reach out of it."""
    text, left = scanner_file(NAMES)
    assert not left
    own = next(x for x in text.splitlines() if x.startswith("_own_scanner = ")).partition(" = ")[2]
    inside = re.compile(
        rf'"name":"(?i:(?:[^"\\]|\\.)*?(?:{own.replace("%%", "%")}))[^"\\]*(?:\\.[^"\\]*)*"'
    )
    for said in SAID:
        record = '{"name":' + json.dumps(said) + ',"addr":"b.example"}'
        found = any(re.search(name, said, re.IGNORECASE) for name in NAMES)
        assert bool(inside.search(record)) is found, said


@pytest.mark.parametrize(
    "name", [r"a\S*", "a[^b]", "(?=a)b", "(?!a)b", 'a"b', "(a", "a ;b", r"\W", ""]
)
def test_what_could_reach_out_of_the_name_is_left_out(name):
    """And told; an empty list matches nobody."""
    text, left = scanner_file([name] if name else [])
    assert left == ([name] if name else [])
    assert text.endswith("_own_scanner = (?!)\n")


@pytest.mark.fail2ban
def test_fail2ban_finds_the_names_of_an_exported_list(tmp_path):
    """The filter with its folder kumomta.d, in the real engine."""
    filters = tmp_path / "filter.d"
    (filters / "kumomta.d").mkdir(parents=True)
    (filters / "kumomta.conf").write_bytes((PROJECT / "filter.d" / "kumomta.conf").read_bytes())
    (filters / "kumomta.d" / "guard-scanners.conf").write_text(scanner_file(NAMES)[0])
    records = [
        json.dumps(
            {
                "type": "Rejection",
                "response": {"code": 599, "enhanced_code": None, "content": "x", "command": "x"},
                "peer_address": {"name": said, "addr": "192.0.2.1"},
                "timestamp": 1757675281,
            }
        )
        for said in SAID
    ]
    run = subprocess.run(
        ["/usr/bin/python3", str(ORACLE.with_name("fail2ban_engine.py"))],
        input=json.dumps(
            {
                "base": str(tmp_path), "filter": "kumomta", "options": {"mode": "scanner"},
                "lines": records,
            }
        ),
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    matches = [bool(line) for line in json.loads(run.stdout)["found"]]
    assert matches == [any(re.search(n, said, re.IGNORECASE) for n in NAMES) for said in SAID]
