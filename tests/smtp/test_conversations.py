"""tests/conversations: dialogues as data, over a real socket. Their README is the grammar."""

from pathlib import Path

import pytest
from player import play, read, rejections

from guard.lib.fields import Endpoint
from guard.lib.networks import parse_network
from guard.relay.listener_domains import load
from guard.relay.policy import StaticPolicy

FOLDER = Path(__file__).parent.parent / "conversations"
# What KumoMTA says (crates/kumod/src/smtp_server.rs of 2026-08) of all that we have too.
KUMOMTA = """\
550 5.7.1 relaying not permitted for {ip}:{port}
550 5.7.1 relaying not permitted for [{ip}]:{port}
550 5.7.1 relaying not permitted
504 5.5.4 AUTH NTLM not supported
524 5.7.11 AUTH PLAIN requires an encrypted channel
535 5.7.8 AUTH invalid
503 5.5.1 AUTH me once, can't get authed again!
503 5.5.1 AUTH not permitted inside a transaction
501 5.5.0 AUTH cancelled by client
501 5.5.2 Invalid base64 response
501 5.5.2 Invalid decoded PLAIN response
501 5.5.2 Invalid UTF8 in decoded PLAIN response
501 5.5.2 Invalid UTF-8 in authentication exchange
500 5.5.6 authentication exchange line too long
502 5.5.1 Command unimplemented
501 Syntax error in command or arguments
501-Syntax error in command or arguments: Error at line 1, in Eof:
501 5.1.7 Bad sender's mailbox address syntax
501 5.1.3 Invalid recipient address syntax
501 5.5.2 Invalid UTF-8 in command
500 5.2.3 line too long
552 5.3.4 message too big
552 5.6.0 message data must use CRLF for line endings
503 5.5.0 MAIL FROM already issued; you must RSET first
503 5.5.0 MAIL FROM must be issued first
503 5.5.0 RCPT TO must be issued first
452 4.5.3 too many recipients
452 4.5.3 too many recipients on this connection
421 4.5.3 mx.example.com too many recipients on this connection
501 Cannot STARTTLS as TLS is already active
550 insufficient authorization
421 4.3.2 mx.example.com idle too long
421 4.3.0 mx.example.com technical difficulties
235 2.7.0 AUTH OK!
220 Ready to Start TLS
354 Send body; end with CRLF.CRLF
250 Reset state
250 the goggles do nothing
250 OK ids={id}
221 So long, and thanks for all the fish!
"""


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


def test_every_reply_of_kumomta_is_heard():
    """Each stands, letter for letter, in a conversation, here or in relay/."""
    said = {
        text for path in FOLDER.rglob("*.txt") for _, mark, text in read(path)[1] if mark == "S:"
    }
    assert not set(KUMOMTA.splitlines()) - said
