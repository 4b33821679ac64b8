"""tests/conversations/relay: every row of the relay rules, over a real socket with real files."""

import json
import socket
import ssl
from pathlib import Path

import pytest
from player import play, read, rejections

from guard.relay.hashes import hash_password

FOLDER = Path(__file__).parent.parent / "conversations/relay"


class Wire:
    """A client by hand, as the player wants it."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        self.file = self.socket.makefile("rb")
        assert self.file.readline().startswith(b"220 ")

    def send(self, data):
        """Sends text or bytes."""
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def secure(self):
        """Speaks TLS from here on."""
        trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
        self.file.close()
        self.socket = trust.wrap_socket(self.socket)
        self.file = self.socket.makefile("rb")

    def rest(self):
        """Everything up to the end of the connection, which the server must close."""
        return self.file.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()


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
            play([(number, mark, text)], client)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_relay_conversation(path, listen, tmp_path, credentials):
    """Every reply, every record, and what waits in the spool."""
    settings, steps = read(path)
    files = [FOLDER / "domains.toml"]
    for name, options in settings.pop("domain", {}).items():
        more = tmp_path / "more.json"
        more.write_text(json.dumps({name: options}))
        files.append(more)
    policy = tmp_path / "policy.py" if "hook" in settings else None
    if policy:
        body = settings["hook"]
        policy.write_text(f"def get_listener_domain(domain, listener, conn_meta):\n    {body}\n")
    running = listen(
        relay_hosts=settings.get("relay_hosts", ()),
        listener_domains=files,
        policy=policy,
        credentials=credentials if "tls" in settings else None,
    )
    with Wire(running.port) as client:
        perform(steps, client, running)
    found = [
        (r.response.code, r.response.command, r.kind)
        for r in running.records
        if r.type == "Rejection"
    ]
    assert found == list(rejections(steps))
