"""`guard spool`: what an operator sees of waiting mail and does about it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from guard.cli.spool import spool
from guard.mail.spool import FileSpool
from guard.mail.waiting import State, Waiting


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose spool has nothing in it."""
    path = tmp_path / "guard.toml"
    path.write_text(f'[state]\ndir = "{tmp_path}/state"\n')
    return path


def run(config: Path, *arguments: str, code: int = 0) -> Result:
    """One `guard spool` command."""
    result = CliRunner().invoke(spool, ["-c", str(config), *arguments])
    assert result.exit_code == code, result.output
    return result


def folder(config: Path) -> Path:
    """Where its spool is."""
    return config.parent / "state" / "spool"


def put(config: Path, sender: str = "a@example.com", *recipients: str) -> str:
    """A message in that spool."""
    made = FileSpool(folder(config))
    made.open()
    message = made.create(sender, recipients or ["b@example.net"], {"ehlo_domain": "x\x1b[31m"})
    message.write(b"Subject: hello\x1b[31m\r\nX: y\r\n\r\nbody\r\n")
    return message.commit()


def test_nothing_waits(config: Path):
    """An empty spool, or none, is nothing; looking makes no folders."""
    assert run(config).stdout == "nothing waits\n"
    assert run(config, "--json").stdout == ""
    assert run(config, "list").stdout == "nothing waits\n"
    assert not folder(config).exists()


def test_list(config: Path):
    """One line a message in the table, one object a message in JSON."""
    first = put(config, "", "b@example.net", "c@example.net")
    second = put(config)
    waiting = Waiting(folder(config))
    waiting.open()
    waiting.save(second, State(attempts=2, held=True, left=["b@example.net"], last="451 4.7.1 no"))
    text = run(config).stdout
    assert first[:16] in text
    assert "<>" in text
    assert "and 1 more" in text
    assert "held" in text
    rows = [json.loads(line) for line in run(config, "list", "--json").stdout.splitlines()]
    assert [row["id"] for row in rows] == [first, second]
    assert rows[0]["recipients"] == rows[0]["left"] == ["b@example.net", "c@example.net"]
    assert (rows[1]["attempts"], rows[1]["held"], rows[1]["due"]) == (2, True, None)
    assert rows[1]["last"] == "451 4.7.1 no"


def test_show(config: Path):
    """Envelope and headers, escaped; the first letters of the id are enough."""
    id_ = put(config)
    text = run(config, "show", id_[:20]).stdout
    assert f"id: {id_}" in text
    assert "Subject: hello\\x1b[31m" in text
    assert "body" not in text
    assert "\x1b" not in text
    row = json.loads(run(config, "show", id_, "--json").stdout)
    assert row["sender"] == "a@example.com"
    assert row["meta"] == {"ehlo_domain": "x\x1b[31m"}
    assert run(config, "show", "zzz", code=1).stderr == "guard: no message begins with zzz\n"
    put(config)
    assert "2 messages begin" in run(config, "show", id_[:3], code=1).stderr


def test_changes_where_nobody_delivers(config: Path):
    """The command does it itself."""
    id_ = put(config)
    waiting = Waiting(folder(config))
    assert run(config, "hold", id_).stdout == f"hold {id_}\n"
    assert waiting.load(id_).state.held
    assert json.loads(run(config, "retry", "--all", "--json").stdout) == {
        "id": id_,
        "done": "retry",
    }
    assert not waiting.load(id_).state.held
    run(config, "drop", id_)
    assert waiting.ids() == []
    run(config, "drop", id_, code=1)


def test_changes_where_somebody_delivers(config: Path):
    """The command leaves word for the process that holds the lock."""
    id_ = put(config)
    waiting = Waiting(folder(config))
    waiting.open()
    with waiting.lock() as mine:
        assert mine
        run(config, "drop", id_)
        assert waiting.ids() == [id_]
        assert waiting.asked() == [("drop", id_)]


def test_usage(config: Path):
    """Everything is only dropped when one says so."""
    put(config)
    assert "--all" in run(config, "drop", code=2).stderr
    assert "--all" in run(config, "drop", "--all", "abc", code=2).stderr


def test_damaged_messages_are_named(config: Path):
    """The rest of the list is shown all the same."""
    id_ = put(config)
    bad = "0" * 32
    (folder(config) / "new" / bad).write_bytes(b"torn")
    Waiting(folder(config)).open()
    result = run(config)
    assert id_[:16] in result.stdout
    assert f"message {bad} is damaged" in result.stderr


def test_an_empty_id_is_no_message(config: Path):
    """`guard spool drop "$ID"` with a variable that was never set leaves the one message alone."""
    put(config)
    result = run(config, "drop", "", code=1)
    assert "no message begins with nothing" in result.output
    assert list((folder(config) / "new").iterdir())
