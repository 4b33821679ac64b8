"""tests/conversations/relay: every row of the relay rules, over a real socket with real files."""

import importlib.util
import json
from pathlib import Path

import pytest

from guard.relay.credentials import hash_password

TESTS = Path(__file__).parent.parent
FOLDER = TESTS / "conversations/relay"


def _load(path):
    spec = importlib.util.spec_from_file_location(f"relay_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


player = _load(TESTS / "smtp/test_conversations.py")
clients = _load(TESTS / "smtp/conftest.py")


@pytest.fixture
def credentials(tmp_path):
    """daniel, tiger."""
    path = tmp_path / "credentials.toml"
    path.write_text(f'daniel = "{hash_password("tiger")}"\n')
    return path


def queued(spool):
    """The recipients of all that waits, sorted."""
    found = []
    for path in Path(spool.new).iterdir():
        found += json.loads(path.read_bytes().partition(b"\n")[0])["recipients"]
    return " ".join(sorted(found)) or "-"


def perform(steps, client, running):
    """Plays the steps; those of this folder here, all others as everywhere."""
    seen = 0
    for number, mark, text in steps:
        if mark == "D:":
            body = (FOLDER / f"{text}.eml").read_text()
            client.send(body.replace("\n", "\r\n") + ".\r\n")
        elif mark == "Q:":
            assert queued(running.spool) == text, f"line {number}"
        elif mark == "L:":
            new = running.records[seen:]
            found = " ".join(record.type for record in new if record.type != "Rejection")
            assert found == text, f"line {number}"
            seen = len(running.records)
        else:
            player.play([(number, mark, text)], client)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_relay_conversation(path, listen, tmp_path, credentials):
    """Every reply, every record, and what waits in the spool."""
    settings, steps = player.read(path)
    files = [FOLDER / "domains.toml"]
    for name, options in settings.pop("domain", {}).items():
        more = tmp_path / "more.json"
        more.write_text(json.dumps({name: options}))
        files.append(more)
    running = listen(
        relay_hosts=settings.get("relay_hosts", ()),
        listener_domains=files,
        credentials=credentials if "tls" in settings else None,
    )
    with clients.Client(("127.0.0.1", running.port)) as client:
        client.reply()
        perform(steps, client, running)
    found = [
        (r.response.code, r.response.command, r.kind)
        for r in running.records
        if r.type == "Rejection"
    ]
    assert found == list(player.rejections(steps))
