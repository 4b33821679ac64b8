"""`guard feeds` and `guard feeds sync`, with a server on loopback and without a daemon."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from listserver import ListServer, Page

from guard.cli.main import cli, run

TEN = "".join(f"11.0.{i}.1\n" for i in range(10)).encode()


@pytest.fixture
def server():
    with ListServer() as made:
        made.pages["/mine"] = Page(TEN + b"10.0.0.1\n209.85.160.71\n")
        made.pages["/bots"] = Page(b"11.1.0.1\n")
        yield made


@pytest.fixture
def guard(tmp_path, server):
    """Runs a command with two feeds: (exit code, output)."""
    config = tmp_path / "guard.toml"
    config.write_text(
        f'[state]\ndir = "{tmp_path}/state"\n[protect]\nrefresh = 0\n'
        f'[[feed]]\ntype = "plain"\nname = "mine"\nurl = "{server.url}/mine"\n'
        f'[[feed]]\ntype = "mxroute"\nurl = "{server.url}/bots"\n'
    )

    def call(*words):
        result = CliRunner().invoke(cli, [*words, "-c", str(config)])
        return result.exit_code, result.stdout

    call.config = str(config)
    return call


def test_sync_claims_and_shows(guard):
    """Everything that is configured, and what was left out, for people and as JSON."""
    code, text = guard("feeds")
    assert code == 0
    assert "never" in text
    assert guard("feeds", "sync") == (
        0,
        "mine: 10 networks came, 0 went\nmxroute: 1 networks came, 0 went\n",
    )
    assert len(guard("bans", "--json")[1].splitlines()) == 11
    text = guard("feeds")[1]
    assert "left out: 1 as mail sender gmail" in text
    assert "left out: 1 as private (RFC 1918)" in text
    rows = [json.loads(line) for line in guard("feeds", "--json")[1].splitlines()]
    assert [(row["name"], row["entries"], row["networks"]) for row in rows] == [
        ("mine", 12, 10),
        ("mxroute", 1, 1),
    ]


def test_a_dry_run_tells_the_difference_and_makes_none(guard, server):
    """What would come and go; the copy is kept, so that the next sync need not fetch again."""
    guard("feeds", "sync", "mine")
    server.pages["/mine"] = Page(TEN[9:] + b"11.9.9.9\n")
    code, text = guard("feeds", "sync", "mine", "--dry-run")
    assert code == 0
    assert text.splitlines() == [
        "mine: 1 networks would come, 1 would go",
        "  + 11.9.9.9",
        "  - 11.0.0.1",
    ]
    banned = guard("bans", "--json")[1]
    assert "11.0.0.1" in banned
    assert "11.9.9.9" not in banned
    assert "1 networks came, 1 went" in guard("feeds", "sync", "mine")[1]
    assert "11.9.9.9" in guard("bans", "--json")[1]


def test_an_owner_who_asks_for_an_hour_gets_it(guard, server):
    """By hand as well; the copy is used."""
    guard("feeds", "sync", "mxroute")
    asked = len(server.asked)
    code, text = guard("feeds", "sync", "mxroute")
    assert code == 0
    assert "its owner allows it in 5" in text
    assert len(server.asked) == asked


def test_an_odd_list_is_held_until_it_is_accepted(guard, server):
    """69 and the way out is named; --accept takes it."""
    server.pages["/mine"] = Page("".join(f"11.{i}.200.1\n" for i in range(100)).encode())
    assert guard("feeds", "sync", "mine")[0] == 0
    server.pages["/mine"] = Page(TEN)
    assert guard("feeds", "sync", "mine")[0] == 69
    assert "guard feeds sync mine --accept" in guard("feeds")[1]
    code, text = guard("feeds", "sync", "mine", "--accept", "--json")
    answer = json.loads(text)
    assert code == 0
    assert (answer["networks"], answer["came"], answer["went"]) == (10, 10, 100)


def test_a_name_that_is_none_and_a_server_that_is_gone(guard, server, capsys):
    """65 with the names that there are; 69 with the reason."""
    assert run(["feeds", "sync", "nine", "-c", guard.config]) == 65
    assert "mine, mxroute" in capsys.readouterr().err
    server.pages.clear()
    assert run(["feeds", "sync", "mine", "-c", guard.config]) == 69
    assert "404" in capsys.readouterr().err


def test_a_feed_that_is_taken_out_can_be_forgotten(guard):
    """Its claims go; one that is configured is not forgotten, one that had nothing is "no"."""
    guard("feeds", "sync")
    assert run(["feeds", "forget", "mine", "-c", guard.config]) == 65
    path = Path(guard.config)
    path.write_text(path.read_text().replace('name = "mine"', 'name = "other"'))
    assert guard("feeds", "forget", "mine") == (0, "mine: 10 networks went\n")
    assert guard("feeds", "forget", "mine")[0] == 1
    assert len(guard("bans", "--json")[1].splitlines()) == 1


def test_a_daemon_of_its_own_lets_go_of_what_is_no_longer_followed(guard):
    """At its start, before anything is laid."""
    from guard import assemble
    from guard.config import load

    guard("feeds", "sync")
    path = Path(guard.config)
    path.write_text(path.read_text().replace('name = "mine"', 'name = "other"'))
    with assemble.lists_by_hand(load(path)) as lists:
        assert lists.orphans(0.0) == {"mine": 10}
    made = assemble.daemon(load(path), path)
    made.parts.close()
    with assemble.lists_by_hand(load(path)) as lists:
        assert lists.orphans(0.0) == {}


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('type = "plain"\nurl = "http://x"', "feed[0].name"),
        ('type = "nonsense"', "feed[0].type"),
        ('type = "mxroute"\nlevel = 3', "feed[0].level"),
        ('type = "mxroute"\n[[feed]]\ntype = "mxroute"', "feed[1].name"),
        ('type = "mxroute"\nevery = "5s"', "feed[0].every"),
    ],
)
def test_faulty_settings_are_named(tmp_path, capsys, text, key):
    """File and key, 78."""
    path = tmp_path / "guard.toml"
    path.write_text(f"[[feed]]\n{text}\n")
    assert run(["feeds", "-c", str(path)]) == 78
    assert key in capsys.readouterr().err


def test_a_key_that_cannot_be_read_is_a_fault_of_the_configuration(tmp_path, capsys):
    """Found by `guard check` and by every command that needs it."""
    path = tmp_path / "guard.toml"
    path.write_text(
        f'[state]\ndir="{tmp_path}/s"\n[[feed]]\ntype = "abuseipdb"\nkey_file = "none"\n'
    )
    assert run(["check", "-c", str(path)]) == 78
    assert "feed[0]" in capsys.readouterr().err
    assert run(["feeds", "-c", str(path)]) == 78


def test_the_sources_date_and_duplicates_are_shown(guard, server):
    """What Spamhaus asks to keep with its data: date, copyright, terms; what was listed twice."""
    rows = b'{"cidr":"11.0.0.0/24"}\n' * 2
    trailer = {"type": "metadata", "timestamp": 1784798042, "size": len(rows), "records": 2}
    words = {"copyright": "(c) 2026 A Project", "terms": "https://terms.example/"}
    server.pages["/drop"] = Page(rows + json.dumps({**trailer, **words}).encode() + b"\n")
    path = Path(guard.config)
    path.write_text(
        f'{path.read_text()}[[feed]]\ntype = "spamhaus-drop"\nurls = ["{server.url}/drop"]\n'
    )
    assert guard("feeds", "sync", "spamhaus-drop")[0] == 0
    text = guard("feeds")[1]
    for word in ("dated 2026-07-23 09:14 UTC", "duplicates: 1", *words.values()):
        assert word in text
