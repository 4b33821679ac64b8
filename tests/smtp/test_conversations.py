"""tests/conversations: dialogues as data, over a real socket. Their README is the grammar."""

from pathlib import Path

import pytest
from player import play, read, rejections

from guard.lib.fields import Endpoint
from guard.lib.networks import parse_network
from guard.relay.listener_domains import load
from guard.relay.policy import StaticPolicy

FOLDER = Path(__file__).parent.parent / "conversations"


def policy(settings, folder):
    """The relay policy of the settings; `domain`, which is none, is taken out of them."""
    hosts = [parse_network(host) for host in settings.get("relay_hosts", [])]
    files = []
    for name, options in settings.pop("domain", {}).items():
        files.append(folder / f"{name}.toml")
        lines = [
            f"{key} = {str(value).lower() if value is True else repr(value)}"
            for key, value in options.items()
        ]
        files[-1].write_text(f'["{name}"]\n' + "\n".join(lines))
    return StaticPolicy(hosts, load(files))


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_conversation(path, listen, tmp_path, certificate, accounts):
    """Every reply and every record is as the file says."""
    settings, steps = read(path)
    if settings.pop("tls", False):
        settings |= {**certificate, "authenticator": accounts}
    if settings.pop("ipv6", False):
        settings["listen"] = Endpoint("::1", 0)
    server = listen(policy=policy(settings, tmp_path), **settings)
    with server.connect() as client:
        play(steps, client)
    found = [(code, command, kind) for code, _, command, kind in server.notes.rejections()]
    assert found == list(rejections(steps))
