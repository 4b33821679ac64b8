"""`guard replay` says who would have been banned, and touches nothing."""

import gzip
import json
import os
import pty
import subprocess
import sys
from collections import defaultdict, deque
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks import day
from guard.cli.main import run

AT = 1_757_675_000
JAILS = """
[relay]
enabled = true
filter = relay
maxretry = 3
findtime = 60
bantime = 600

[auth]
enabled = true
filter = auth
maxretry = 2
findtime = 1h
bantime = -1
"""
RELAY = (
    "[Definition]\nfailregex = ^\\s*refused <HOST>$\nkinds = relay_denied\ndatepattern = ^{EPOCH}\n"
)
AUTH = "[Definition]\nfailregex = ^bad password <HOST>$\nkinds = auth_failed auth_unsupported\n"


def record(time: float, address: str, kind: str = "Rejection", code: int = 550, **more) -> bytes:
    """A line of log."""
    content = "relaying not permitted" if code == 550 else "AUTH invalid"
    made = {
        "type": kind,
        "response": {"code": code, "enhanced_code": None, "content": content, "command": "x"},
        "peer_address": {"name": "x", "addr": address},
        "timestamp": AT + int(time),
        **more,
    }
    return json.dumps(made).encode() + b"\n"


@pytest.fixture
def setting(tmp_path, monkeypatch):
    """A configuration with two jails, in a machine whose state must stay untouched."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name, files in (
        ("jail.d", {"test.conf": JAILS}),
        ("filter.d", {"relay.conf": RELAY, "auth.conf": AUTH}),
    ):
        (tmp_path / name).mkdir()
        for file, text in files.items():
            (tmp_path / name / file).write_text(text)
    config = tmp_path / "guard.toml"
    config.write_text('[jails]\npath = ["jail.d"]\nfilters = ["filter.d"]\n')
    return config


@pytest.fixture
def replay(setting, capfd):
    """Runs `guard replay --json` and returns (exit code, bans, standard error)."""

    def play(*arguments: object, config: Path = setting):
        code = run(["replay", "--json", "-c", str(config), *map(str, arguments)])
        said = capfd.readouterr()
        return code, [json.loads(line) for line in said.out.splitlines()], said.err

    return play


def test_one_object_per_ban_and_then_nothing(replay, tmp_path):
    """The documented members, in the order of the bans, and nothing else on standard output."""
    log = tmp_path / "log"
    log.write_bytes(
        b"".join(record(i * 10, "11.1.1.1") for i in range(3))
        + record(30, "11.1.1.2")
        + record(31, "2a01:4f8:1:2::3", code=535)
        + record(40, "2a01:4f8:1:2:ffff::4", code=504)
    )
    code, bans, _ = replay(log)
    assert code == 0
    assert bans == [
        {
            "time": AT + 20.0,
            "address": "11.1.1.1",
            "jail": "relay",
            "rejections": 3,
            "until": AT + 620.0,
        },
        {
            "time": AT + 40.0,
            "address": "2a01:4f8:1:2::/64",
            "jail": "auth",
            "rejections": 2,
            "until": None,
        },
    ]


def test_nothing_is_touched(replay, tmp_path):
    """No state, no store, no checkpoint: not even a directory."""
    log = tmp_path / "log"
    log.write_bytes(b"".join(record(i, "11.1.1.1") for i in range(9)))
    before = sorted(tmp_path.rglob("*"))
    assert len(replay(log)[1]) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_protected_addresses_are_not_banned(replay, tmp_path):
    """What would never be blocked is not shown as banned."""
    log = tmp_path / "log"
    log.write_bytes(b"".join(record(i, "10.1.1.1") for i in range(9)))
    code, bans, said = replay(log)
    assert (code, bans) == (0, [])
    assert "not banned: protected 3" in said


def test_good_standing_holds_bans_back_as_it_would_live(replay, tmp_path):
    """Who had mail accepted before is given more room; the summary says how often."""
    log = tmp_path / "log"
    log.write_bytes(
        record(-1000, "11.1.1.1", "Reception") + b"".join(record(i, "11.1.1.1") for i in range(9))
    )
    code, bans, said = replay(log)
    assert (code, [ban["time"] for ban in bans]) == (0, [AT + 8.0])
    assert "not banned: good standing 2" in said


def test_a_reception_that_was_refused_after_all_vouches_for_nobody(replay, tmp_path):
    """KumoMTA logs a Reception before it refuses a message at its end: that is no good mail."""
    log = tmp_path / "log"
    log.write_bytes(
        b"".join(
            record(100 * i, "11.1.1.1", "Reception") + record(100 * i, "11.1.1.1")
            for i in range(-20, 0)
        )
        + b"".join(record(i, "11.1.1.1") for i in range(3))
    )
    assert [ban["time"] for ban in replay(log)[1]] == [AT + 2.0]


def test_faults_are_told_and_hide_nothing(replay, tmp_path):
    """Truncated line, unknown type, no address, not UTF-8, too long: counted, with a place."""
    log, good = tmp_path / "log", [record(i, "11.1.1.1") for i in range(3)]
    log.write_bytes(
        good[0]
        + record(1, "11.1.1.1", "Novelty")
        + record(1, "", peer_address=None)
        + b'{"type":"\xff\xfe"}\n'
        + b"x" * (100 << 20)
        + b"\n"
        + good[1]
        + good[2]
        + good[0][:50]
    )
    code, bans, said = replay(log)
    assert (code, len(bans)) == (0, 1)
    assert f"1 x records of types that Guard does not know, first at {log}:2" in said
    assert f"1 x no address, first at {log}:3" in said
    assert f"1 x no log record, first at {log}:4" in said
    assert f"1 x line too long, first at {log}:5" in said
    assert f"1 x last line cut short, first at {log}:8" in said
    assert "7 lines, 3 rejections from 2025-09-12 11:03:20 to 2025-09-12 11:03:22 UTC" in said
    assert "1 bans of 1 addresses (relay 1, auth 0)" in said


@pytest.mark.parametrize("pack", [bytes, zstandard.compress, gzip.compress])
def test_packing_makes_no_difference(replay, tmp_path, pack):
    """Plain, zstd and gzip give the same bans."""
    log = tmp_path / "log"
    log.write_bytes(pack(b"".join(record(i, f"11.1.1.{i % 3}") for i in range(9))))
    assert [ban["address"] for ban in replay(log)[1]] == ["11.1.1.0", "11.1.1.1", "11.1.1.2"]


def test_what_is_no_log_exits_65(replay, tmp_path):
    """A picture or a missing file is bad input; what could be read is shown all the same."""
    (tmp_path / "picture").write_bytes(os.urandom(5000))
    (tmp_path / "log").write_bytes(b"".join(record(i, "11.1.1.1") for i in range(3)))
    code, bans, said = replay(tmp_path / "picture", tmp_path / "log")
    assert (code, len(bans)) == (65, 1)
    assert f"no log: {tmp_path / 'picture'}" in said
    for content in (b"\0" * 500, b"no line end", b"\x28\xb5\x2f\xfd" + b"\xff" * 50):
        (tmp_path / "other").write_bytes(content)
        assert replay(tmp_path / "other")[0] == 65
    code, bans, said = replay(tmp_path / "log", tmp_path / "absent")
    assert (code, bans) == (65, [])
    assert "absent: No such file or directory" in said


def test_other_jails_can_be_tried(replay, tmp_path):
    """--jails replaces the configured folder, and nothing else."""
    (tmp_path / "log").write_bytes(b"".join(record(i, "11.1.1.1") for i in range(2)))
    (tmp_path / "try").mkdir()
    (tmp_path / "try" / "x.conf").write_text(
        "[strict]\nenabled = true\nfilter = relay\nmaxretry = 1\nfindtime = 1m\nbantime = 1d\n"
    )
    code, bans, _ = replay(tmp_path / "log", "--jails", tmp_path / "try")
    assert (code, [ban["jail"] for ban in bans]) == (0, ["strict"])


def test_a_text_log_by_its_filter(replay, tmp_path):
    """With --filter the files are text, and the jails of that filter run."""
    lines = [f"{AT + i} refused 11.1.1.{i % 2}\n" for i in range(8)]
    lines.insert(3, "something else altogether\n")
    (tmp_path / "mail.log").write_text("".join(lines))
    code, bans, said = replay(tmp_path / "mail.log", "--filter", "relay")
    assert code == 0
    assert [(ban["address"], ban["time"], ban["jail"]) for ban in bans] == [
        ("11.1.1.0", AT + 4.0, "relay"),
        ("11.1.1.1", AT + 5.0, "relay"),
    ]
    assert "9 lines, 8 rejections" in said


def test_a_filter_without_a_jail_runs_in_fail2bans_default(replay, tmp_path):
    """A new filter can be tried before a jail is written for it."""
    (tmp_path / "filter.d" / "new.conf").write_text(RELAY)
    (tmp_path / "mail.log").write_text("".join(f"{AT + i} refused 11.1.1.1\n" for i in range(5)))
    code, bans, said = replay(tmp_path / "mail.log", "--filter", "new")
    assert (code, [(ban["jail"], ban["rejections"]) for ban in bans]) == (0, [("new", 5)])
    assert "no jail has the filter new" in said


def test_the_table_tells_of_mail_accepted_later(setting, tmp_path):
    """On a terminal: a table of bans with what the banned did afterwards, and a summary."""
    log = tmp_path / "log"
    log.write_bytes(
        b"".join(record(i, "11.1.1.1") for i in range(3))
        + b"".join(record(10, "11.1.1.1", "Reception") for _ in range(7))
        + b"".join(record(20 + i, "11.1.1.2") for i in range(3))
    )
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "guard", "replay", "-c", str(setting), str(log)]
    environment = {**os.environ, "COLUMNS": "120", "TERM": "dumb"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=theirs, stderr=pipe, env=environment) as child:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 4096):
                shown += piece
        except OSError:  # the end of a terminal
            pass
        said = child.stderr.read().decode()
    os.close(ours)
    assert child.returncode == 0
    rows = [line.split() for line in shown.decode().splitlines()]
    assert rows[-2] == ["2025-09-12", "11:03:22", "11.1.1.1", "relay", "3", "10m", "yes"]
    assert rows[-1] == ["2025-09-12", "11:03:42", "11.1.1.2", "relay", "3", "10m"]
    assert "1 of them later had mail accepted or authenticated" in said


def expected_bans(path: Path, retry: int, findtime: float, bantime: float) -> list[tuple]:
    """The relay jail's bans, worked out anew and simply."""
    windows, banned, bans = defaultdict(deque), {}, []
    for line in path.read_bytes().splitlines():
        made = json.loads(line)
        if made["type"] != "Rejection" or "relaying" not in made["response"]["content"]:
            continue
        seconds = made["timestamp"] // 60 * 60 + float(made["event_time"][17:-1])
        address = made["peer_address"]["addr"]
        network = address.replace("::25", "::/64") if ":" in address else address
        window = windows[network]
        window.append(seconds)
        while window[0] < seconds - findtime:
            window.popleft()
        if len(window) == retry:
            window.clear()
            if banned.get(network, 0) <= seconds:
                bans.append((network, seconds))
                banned[network] = seconds + bantime
    return bans


def test_a_day_of_log_gives_exactly_the_bans_it_should(replay, tmp_path):
    """A scanned server's day: every ban of the relay jail, at its time, and no other."""
    log = tmp_path / "day.jsonl"
    day.write(str(log), records=20_000, seed=7)
    code, bans, said = replay(log)
    assert code == 0
    assert "20000 lines" in said
    assert " x " not in said
    relay = [(ban["address"], ban["time"]) for ban in bans if ban["jail"] == "relay"]
    expected = expected_bans(log, 3, 60, 600)
    assert len(expected) > 20
    assert relay == expected


@settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.binary(max_size=400), st.sampled_from([b"", b"\x28\xb5\x2f\xfd", b"\x1f\x8b\x08"]))
def test_any_bytes_are_read_or_refused(replay, tmp_path, data, head):
    """No file makes a traceback, or a ban."""
    (tmp_path / "any").write_bytes(head + data)
    code, bans, said = replay(tmp_path / "any")
    assert code in (0, 65)
    assert bans == []
    assert said.isascii()
    assert "Traceback" not in said
