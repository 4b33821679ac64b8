"""Who only looks like a scanner is served and never banned: by `guard up` with all defences on."""

import smtplib
import socket
import ssl
import time

import pytest
from listening import make_certificate
from service import Service
from support import free_port

from guard.relay.hashes import hash_password

CONFIG = """
[state]
dir = "state"
[log]
records = "records.jsonl"
[firewall]
backend = "dry-run"
[delivery]
enabled = false
[[listener]]
listen = "127.0.0.1:{port}"
hostname = "mx.example.com"
relay_hosts = []
listener_domains = ["domains.toml"]
credentials = "credentials.toml"
tls_certificate = "mx.example.com.pem"
tls_private_key = "mx.example.com.key"
greet_pause = "10ms"
tarpit = "20ms"
client_timeout = "3s"
require_ehlo = true
refuse_own_name = true
forbid_early_pipelining = true
[protect]
reserved = false
own = false
"""
# name: (sessions of one address, what each says; the codes that it hears, banner first)
CASES = {
    "a health check that connects and closes": (30, [], "220"),
    "a health check by EHLO": (30, ["EHLO haproxy.example.com", "QUIT"], "220 250 221"),
    "a health check by HELO": (30, ["HELO localhost", "QUIT"], "220 250 221"),
    "a monitor that asks for TLS": (30, ["EHLO nagios", "STARTTLS"], "220 250 220"),
    "Thunderbird that looks for settings": (
        20, ["EHLO we-guess.mozilla.org", "QUIT"], "220 250 221",
    ),
    "a printer with a bare name": (
        20,
        ["HELO PRINTER-3F", "MAIL FROM:<scan@example.org>", "RCPT TO:<b@local.example>", "QUIT"],
        "220 250 250 250 221",
    ),
    "a Windows host": (20, ["EHLO WIN-CLJ1B0GQ6JP", "NOOP", "QUIT"], "220 250 250 221"),
    "a telephone": (20, ["EHLO [192.0.2.77]", "RSET", "QUIT"], "220 250 250 221"),
    "a bounce": (
        20,
        ["EHLO mx.example.org", "MAIL FROM:<>", "RCPT TO:<b@local.example>", "RSET", "QUIT"],
        "220 250 250 250 250 221",
    ),
    "a typing error in one recipient of some": (
        4,
        [
            "EHLO mx.example.org", "MAIL FROM:<a@example.org>", "RCPT TO:<b@local.example>",
            "RCPT TO:<b@locla.example>", "QUIT",
        ],
        "220 250 250 250 550 221",
    ),
    "a large burst of a mail server": (
        150,
        ["EHLO bulk.example.org", "MAIL FROM:<n@example.org>", "RCPT TO:<b@local.example>", "QUIT"],
        "220 250 250 250 221",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A running `guard up`, and its port."""
    folder = tmp_path_factory.mktemp("innocent")
    port = free_port()
    make_certificate(folder)
    (folder / "domains.toml").write_text('["local.example"]\nrelay_to = true\n')
    secret = hash_password("new secret")
    (folder / "credentials.toml").write_text(f'ann = "{secret}"\n')
    (folder / "credentials.toml").chmod(0o600)
    (folder / "guard.toml").write_text(CONFIG.format(port=port))
    service = Service("up", folder / "guard.toml")
    service.start()
    yield service, port
    assert service.stop() == 0
    assert "Traceback" not in service.said()


def talk(port, source, lines):
    """The codes that `source` hears, and how the connection ended."""
    with (
        socket.create_connection(("127.0.0.1", port), 10, (source, 0)) as client,
        client.makefile("rb") as replies,
    ):

        def code():
            while (line := replies.readline())[3:4] == b"-":
                pass
            return line[:3].decode()

        codes = [code()]
        for line in lines:
            client.sendall(line.encode() + b"\r\n")
            codes.append(code())
    return codes


def nobody_is_banned(service):
    """Nor would be: what was counted is below every threshold."""
    time.sleep(0.3)
    return service.ask("bans") == []


@pytest.mark.parametrize("name", CASES)
def test_is_served(site, name):
    """Each of its sessions hears what it should, and nothing is held against it."""
    service, port = site
    sessions, lines, codes = CASES[name]
    source = f"127.0.7.{list(CASES).index(name) + 1}"
    for _ in range(sessions):
        assert talk(port, source, lines) == codes.split()
    assert nobody_is_banned(service)


def login(port, source, password):
    """Whether that password is the right one; as a mail program tries it."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP("127.0.0.1", port, "phone.example", 20, (source, 0)) as client:
        client.starttls(context=context)
        try:
            client.login("ann", password)
        except smtplib.SMTPAuthenticationError:
            return False
        client.sendmail("ann@local.example", ["b@local.example"], "Subject: x\r\n\r\nx\r\n")
    return True


def test_a_customer_after_a_change_of_password(site):
    """His telephone goes on with the old one for a while; nobody is locked out for it."""
    service, port = site
    assert login(port, "127.0.7.200", "new secret")
    for _ in range(25):
        assert not login(port, "127.0.7.200", "old secret")
    assert login(port, "127.0.7.200", "new secret")
    assert nobody_is_banned(service)


def test_a_slow_mobile_client(site):
    """A line that takes its time, and a body that takes longer than `client_timeout`."""
    service, port = site
    with socket.create_connection(("127.0.0.1", port), 10, ("127.0.7.201", 0)) as client:
        client.settimeout(10)
        assert client.recv(200).startswith(b"220 ")

        def say(line, pause=0.0):
            for piece in (line[:5], line[5:]):
                client.sendall(piece)
                time.sleep(pause)
            return client.recv(1000)

        assert say(b"EHLO phone.example\r\n", 0.6).startswith(b"250-")
        assert say(b"MAIL FROM:<a@example.org>\r\n", 0.6).startswith(b"250 ")
        assert say(b"RCPT TO:<b@local.example>\r\n").startswith(b"250 ")
        assert say(b"DATA\r\n").startswith(b"354 ")
        began = time.monotonic()
        while time.monotonic() < began + 4.0:
            client.sendall(b"x" * 398 + b"\r\n")
            time.sleep(0.3)
        assert say(b"\r\n.\r\n").startswith(b"250 ")
    assert nobody_is_banned(service)
