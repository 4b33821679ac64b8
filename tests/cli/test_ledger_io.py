"""Moving a ledger: out and in again, from a list, and from a real fail2ban."""

import json
import sqlite3
import subprocess
import time
from contextlib import closing

import pytest

from guard.cli.ledger_io import pieces
from guard.cli.main import run
from guard.control import LIMIT


def config_in(folder):
    """A configuration with a store of its own."""
    folder.mkdir(exist_ok=True)
    path = folder / "guard.toml"
    path.write_text(
        '[state]\ndir = "state"\n[protect]\nreserved = false\nown = false\nallow = ["192.0.2.7"]\n'
    )
    return str(path)


@pytest.fixture
def guard(tmp_path, capsys):
    """Runs a command on a ledger of that name; returns exit code, output, and errors."""

    def command(name, *arguments):
        code = run([*arguments, "-c", config_in(tmp_path / name)])
        return code, *capsys.readouterr()

    return command


def rows(out):
    return [json.loads(line) for line in out.splitlines()]


def ledger_rows(guard, name):
    """All that a ledger holds, in an order of its own."""
    code, out, _ = guard(name, "export")
    assert code == 0
    return sorted(rows(out), key=json.dumps)


def test_what_goes_out_comes_in_again(guard, tmp_path):
    """Claims of every source, strikes of ended ones; a second time changes nothing."""
    now = time.time()
    said = [
        {"network": "192.0.2.1", "source": "jail:a", "since": now - 5, "until": now + 900.25},
        {"network": "192.0.2.1", "source": "jail:b", "since": now - 4, "until": None},
        {"network": "192.0.2.1", "strikes": {"jail:a": 3, "jail:b": 1}, "ended": None},
        {"network": "2001:db8::/64", "source": "feed:x", "since": now, "until": None},
        {"network": "192.0.2.2", "strikes": {"jail:a": 2}, "ended": now - 86400},
        {
            "network": "198.51.100.0/24",
            "source": "manual",
            "reason": "é\n",
            "since": 1,
            "until": None,
        },
    ]
    file = tmp_path / "ledger.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in said))
    assert guard("one", "import", str(file))[0] == 0
    first = ledger_rows(guard, "one")
    strikes = {row["network"]: row["strikes"] for row in first if "ended" in row}
    assert strikes == {"192.0.2.1": {"jail:a": 3, "jail:b": 1}, "192.0.2.2": {"jail:a": 2}}
    assert len(first) == 6
    assert guard("one", "import", str(file))[0] == 0
    assert ledger_rows(guard, "one") == first
    _, out, _ = guard("one", "export")
    file.write_text(out)
    code, out, _ = guard("two", "import", str(file), "--json")
    assert (code, rows(out)[0]["claims"], rows(out)[0]["faults"]) == (0, 4, [])
    assert ledger_rows(guard, "two") == first


def test_taking_it_again_after_an_unban_is_no_second_strike(guard, tmp_path):
    """Who un-bans everybody by mistake and takes back his copy has the ledger of before."""
    now = time.time()
    said = [
        {"network": "192.0.2.1", "source": "jail:a", "since": now - 5, "until": now + 900},
        {"network": "192.0.2.1", "strikes": {"jail:a": 1}, "ended": now + 900},
        {"network": "192.0.2.2", "source": "jail:a", "since": now, "until": now + 9, "strikes": 3},
        {"network": "192.0.2.2", "source": "jail:b", "since": now, "until": now + 9, "strikes": 4},
    ]
    file = tmp_path / "ledger.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in said))
    assert guard("one", "import", str(file))[0] == 0
    before = ledger_rows(guard, "one")
    strikes = {row["network"]: row["strikes"] for row in before if "ended" in row}
    assert strikes == {"192.0.2.1": {"jail:a": 1}, "192.0.2.2": {"jail:a": 1, "jail:b": 3}}
    shown = [(row["source"], row["strikes"]) for row in before if "source" in row]
    assert sorted(shown) == [("jail:a", 1), ("jail:a", 3), ("jail:b", 4)]
    assert guard("one", "unban", "--all")[0] == 0
    assert guard("one", "import", str(file))[0] == 0
    assert ledger_rows(guard, "one") == before


def test_a_plain_list(guard, tmp_path):
    """One network a line with comments; protected and wrong ones are left out and said so."""
    file = tmp_path / "list.txt"
    file.write_text(
        "\ufeff192.0.2.1\n# mine\n192.0.2.7 ; the allowed one\r\n\nnonsense\n2001:db8::/64#x\n"
    )
    code, out, err = guard("one", "import", str(file), "--for", "1h", "--reason", "old list")
    assert code == 0
    assert "2 bans taken" in out
    assert "1 left out: protected" in out
    assert "  nonsense: " in err
    code, out, _ = guard("one", "export", "--format", "plain")
    assert out == "192.0.2.1\n2001:db8::/64\n"
    assert {row["reason"] for row in ledger_rows(guard, "one")} == {"old list"}


@pytest.mark.parametrize(
    "text",
    [
        '{"network": "192.0.2.1"}',
        '{"network": "192.0.2.1", "source": "root", "since": 1, "until": null}',
        '{"network": "192.0.2.1", "source": "manual", "since": "now", "until": null}',
        '{"network": "192.0.2.1", "strikes": {"jail:a": -1}, "ended": null}',
        '{"network": "192.0.2.1/24", "source": "manual", "since": 1, "until": null}',
        '{"network": ["x"], "source": "manual", "since": 1, "until": null}',
        "{" * 9999,
        "\x1b[31m",
    ],
)
def test_what_cannot_be_read_is_said(guard, tmp_path, text):
    """A file of nonsense is bad input, nothing is taken, and its text does not reach a terminal."""
    file = tmp_path / "bad"
    file.write_text(text)
    code, _, err = guard("one", "import", str(file))
    assert code == 65
    assert "\x1b" not in err
    assert ledger_rows(guard, "one") == []


def test_files_that_are_not_there(guard, tmp_path):
    """Bad input, in one line each."""
    assert guard("one", "import", str(tmp_path / "none"))[0] == 65
    assert guard("one", "import", "fail2ban", str(tmp_path / "none"))[0] == 65
    (tmp_path / "text").write_text("not a database at all, by far too long for an empty one" * 9)
    assert guard("one", "import", "fail2ban", str(tmp_path / "text"))[0] == 65
    assert guard("one", "import", "a", "b")[0] == 64


def test_what_may_not_be_read(monkeypatch, capsys):
    """Not permitted, in a line: fail2ban's database is root's, and its folder may be."""

    def refuse(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    for method, *words in (
        ("stat", "fail2ban", "/var/lib/x/fail2ban.sqlite3"),
        ("read_text", "list.txt"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(f"guard.cli.ledger_io.Path.{method}", refuse)
            assert run(["import", *words]) == 77
        assert capsys.readouterr().err == f"guard: not permitted to read {words[-1]}\n"


def test_a_wrong_row_of_a_database_hides_nothing(guard, tmp_path):
    """What somebody wrote there by hand is named, the rest is taken."""
    path, since = tmp_path / "f2b.sqlite3", int(time.time()) - 9
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE bips (ip, jail, timeofban, bantime, bancount)")
        for ip, *times in (
            ("192.0.2.1", None, 3600, 1),
            ("192.0.2.2", since, "soon", 1),
            ("192.0.2.3", since, 3600, 1),
            ("somebody", since, 3600, 1),
        ):
            database.execute("INSERT INTO bips VALUES (?, 'ssh', ?, ?, ?)", (ip, *times))
    database.close()
    code, out, err = guard("one", "import", "fail2ban", str(path))
    assert (code, "1 bans taken" in out, "3 could not be read" in err) == (0, True, True)
    assert {row["network"] for row in ledger_rows(guard, "one")} == {"192.0.2.3"}


def test_a_database_without_counts(guard, tmp_path):
    """fail2ban of 0.10 and before kept bans only."""
    path = tmp_path / "old.sqlite3"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE bans (jail TEXT, ip TEXT, timeofban INTEGER, data TEXT)")
        database.execute("INSERT INTO bans VALUES ('ssh', '192.0.2.1', ?, '')", (time.time() - 9,))
        database.execute("INSERT INTO bans VALUES ('ssh', '192.0.2.1', ?, '')", (1,))
    database.close()
    assert guard("one", "import", "fail2ban", str(path))[0] == 0
    assert {json.dumps(row.get("strikes")) for row in ledger_rows(guard, "one")} == {
        '{"jail:ssh": 2}',
        "2",
    }


def test_strikes_of_an_ipv6_address_are_those_of_its_network(guard, tmp_path):
    """fail2ban counted the address, jails go on with the /64; nobody else in it is banned."""
    path, since = tmp_path / "f2b.sqlite3", int(time.time()) - 9
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE bips (ip, jail, timeofban, bantime, bancount)")
        for ip, number in (("2001:db8::1", 2), ("2001:db8::2", 5)):
            row = ip, "ssh", since, 3600, number
            database.execute("INSERT INTO bips VALUES (?, ?, ?, ?, ?)", row)
    database.close()
    assert guard("one", "import", "fail2ban", str(path))[0] == 0
    held = ledger_rows(guard, "one")
    assert {row["network"]: row["strikes"]["jail:ssh"] for row in held if "ended" in row} == {
        "2001:db8::1": 2,
        "2001:db8::2": 5,
        "2001:db8::/64": 5,
    }
    assert {row["network"] for row in held if "until" in row} == {"2001:db8::1", "2001:db8::2"}


@pytest.mark.fail2ban
def test_a_real_fail2ban_moves_over(guard, tmp_path):
    """Bans, their ends and their number come over while fail2ban runs; the rest is named."""
    folder, sock = tmp_path / "f2b", tmp_path / "f2b" / "sock"
    for name in ("filter.d", "action.d", "jail.d"):
        (folder / name).mkdir(parents=True)
    (folder / "filter.d" / "it.conf").write_text("[Definition]\nfailregex = ^x <HOST>$\n")
    (folder / "log").write_text("")
    (folder / "jail.conf").write_text(
        "[DEFAULT]\nbackend = polling\n"
        f"[mail]\nenabled = true\nfilter = it\nlogpath = {folder}/log\nbantime = 3600\n"
        f"[ever]\nenabled = true\nfilter = it\nlogpath = {folder}/log\nbantime = -1\n"
    )
    (folder / "fail2ban.conf").write_text(
        f"[Definition]\nlogtarget = {folder}/out\nsyslogsocket = auto\nloglevel = INFO\n"
        f"socket = {sock}\npidfile = {folder}/pid\ndbfile = {folder}/db\ndbpurgeage = 1d\n"
        "dbmaxmatches = 10\n[Thread]\n"
    )
    server = subprocess.Popen(
        ["fail2ban-server", "-f", "-c", str(folder), "-s", str(sock), "-p", str(folder / "pid")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def client(*words):
        return subprocess.run(
            ["fail2ban-client", "-c", str(folder), "-s", str(sock), *words],
            capture_output=True,
            text=True,
        )

    try:
        deadline = time.monotonic() + 30
        while client("status", "ever").returncode:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        client("set", "mail", "banip", "192.0.2.1", "2001:db8::7", "192.0.2.7")
        client("set", "ever", "banip", "192.0.2.1")
        while "192.0.2.1" not in client("get", "ever", "banip").stdout:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        while len(sqlite_rows(folder / "db")) < 4:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        code, out, _ = guard("one", "import", "fail2ban", str(folder / "db"), "--json")
    finally:
        server.terminate()
        server.wait(30)
    assert (code, rows(out)[0]["claims"], rows(out)[0]["protected"]) == (0, 3, 1)
    found = {(r["network"], r["source"]): r for r in ledger_rows(guard, "one") if "source" in r}
    assert set(found) == {
        ("192.0.2.1", "jail:mail"),
        ("192.0.2.1", "jail:ever"),
        ("2001:db8::7", "jail:mail"),
    }
    assert found["192.0.2.1", "jail:ever"]["until"] is None
    mail = found["192.0.2.1", "jail:mail"]
    assert mail["until"] - mail["since"] == 3600
    assert abs(mail["since"] - time.time()) < 60


def sqlite_rows(path):
    """What fail2ban has written so far."""
    database = sqlite3.connect(path)
    try:
        return database.execute("SELECT * FROM bips").fetchall()
    except sqlite3.OperationalError:
        return []
    finally:
        database.close()


def test_pieces_fit_into_a_question():
    """Rows of a network stay together; long ones make smaller pieces, which the daemon reads."""
    long = {"reason": "\u20ac" * 200, "source": "manual", "since": 1.0, "until": None}
    every = [{"network": f"45.0.{n % 250}.{n // 250}", **long} for n in range(5000)]
    every += [{"network": row["network"], "strikes": {"jail:a": 1}} for row in every]
    made = list(pieces(every))
    assert sum(map(len, made)) == len(every)
    names = [{row["network"] for row in piece} for piece in made]
    assert sum(map(len, names)) == 5000
    assert 4 < len(made) < 40
    assert all(len(json.dumps(piece)) < LIMIT - 1000 for piece in made)
