"""`guard sources` shows how they fare; its `test` what one would hear, with nothing counted."""

import json
import time

import pytest
from service import Service

from guard.cli.main import run

AT = 1_757_675_281


def record(address: str, kind: str = "Rejection") -> str:
    """A line of log."""
    response = {"code": 550, "content": "relaying not permitted", "command": "RCPT TO:<a@b>"}
    made = {"type": kind, "timestamp": AT, "peer_address": {"name": "x", "addr": address}}
    return json.dumps({**made, "response": response}) + "\n"


@pytest.fixture
def config(tmp_path):
    """Two sources: log records, and a text log."""
    (tmp_path / "records.jsonl").write_text(record("11.1.1.1") + record("11.1.1.2", "Reception"))
    (tmp_path / "mail.log").write_text(f"{AT} refused 11.1.1.3\n" * 3)
    (tmp_path / "filter.d").mkdir()
    (tmp_path / "filter.d" / "mail.conf").write_text(
        "[Definition]\nfailregex = ^\\s*refused <HOST>$\ndatepattern = ^{EPOCH}\n"
    )
    (tmp_path / "jail.d").mkdir()
    path = tmp_path / "guard.toml"
    path.write_text(
        '[state]\ndir = "state"\n'
        '[jails]\npath = ["jail.d"]\nfilters = ["filter.d"]\n'
        '[[source]]\ntype = "kumomta-log"\npath = "records.jsonl"\n'
        '[[source]]\ntype = "log"\npath = "mail.log"\nfilter = "mail"\n'
    )
    return path


def test_what_a_source_would_hear(config, tmp_path, capfd):
    """Each event with its time, address and meaning; the real place stays where it is."""
    for _ in range(2):
        code = run(["sources", "test", "records", "--count", "2", "--json", "-c", str(config)])
        said = capfd.readouterr()
        assert (code, said.err) == (0, "")
        assert [json.loads(line) for line in said.out.splitlines()] == [
            {
                "time": AT,
                "address": "11.1.1.1",
                "event": "rejection",
                "what": "relay_denied",
                "count": 1,
            },
            {"time": AT, "address": "11.1.1.2", "event": "acceptance", "what": "mail", "count": 1},
        ]
    assert not (tmp_path / "state").exists()


def test_a_text_log_by_its_filter_for_people(config, capfd):
    """Without --json a line to read; --count and --seconds end it."""
    arguments = ["--count", "1", "--seconds", "5", "-c", str(config)]
    assert run(["sources", "test", "mail.log", *arguments]) == 0
    (line,) = capfd.readouterr().out.splitlines()
    assert line.split() == ["2025-09-12", "11:08:01", "11.1.1.3", "refused", "filter", "mail"]


def test_hearing_nothing_is_an_answer_of_no(config, tmp_path, capfd):
    """Exit code 1, and a word on standard error."""
    (tmp_path / "mail.log").write_text("nothing to see\n")
    assert run(["sources", "test", "mail.log", "--seconds", "0.3", "-c", str(config)]) == 1
    assert capfd.readouterr() == ("", "heard nothing\n")


@pytest.mark.parametrize(("name", "why"), [("exim", "no source is"), ("log", "more than one")])
def test_a_name_has_to_mean_one(config, capfd, name, why):
    """65, with the names that there are."""
    assert run(["sources", "test", name, "-c", str(config)]) == 65
    assert why in (said := capfd.readouterr().err)
    assert str(config.parent / "mail.log") in said


def test_without_a_daemon_the_configured_sources_are_named(config, capfd):
    """And that nobody listens."""
    assert run(["sources", "--json", "-c", str(config)]) == 0
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [row["name"].split()[0] for row in rows] == ["kumomta-log", "log"]
    assert {row["error"] for row in rows} == {"no daemon runs"}
    config.write_text('[state]\ndir = "state"\n')
    assert run(["sources", "-c", str(config)]) == 0
    assert "no [[source]] is configured" in capfd.readouterr().out


def test_a_daemon_tells_lag_rate_and_errors(config, tmp_path):
    """What each source heard, how far it is behind, and why one does not work."""
    with config.open("a") as file:
        file.write('[[source]]\ntype = "kumomta-log"\npath = "absent"\n')
    service = Service("daemon", config)
    service.start()
    try:
        rows: dict[str, dict] = {}
        for _ in range(100):
            rows = {row["name"]: row for row in service.ask("sources")}
            if all(row["heard"] or row["error"] for row in rows.values()):
                break
    finally:
        began = time.monotonic()
        service.stop()
    assert time.monotonic() - began < 5, "a stop does not wait for what does not work"
    absent = rows.pop(f"kumomta-log {tmp_path / 'absent'}")
    assert "No such file" in absent["error"]
    assert sorted(row["heard"] for row in rows.values()) == [2, 3]
    for row in rows.values():
        assert row["last_minute"] == row["heard"]
        assert (row["behind"], row["error"]) == (0, "")
        assert row["last"].endswith("ago")
