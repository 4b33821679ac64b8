"""The real program takes new rules in while a client is connected: by SIGHUP and by itself."""

import signal
import smtplib
import time
from pathlib import Path

import pytest
from service import Service

GUARD = """
[state]
dir = "{folder}"
socket = "{folder}/guard.sock"
[[listener]]
listen = "127.0.0.1:0"
hostname = "mx.test"
relay_hosts = []
listener_domains = ["domains.toml"]
"""


@pytest.fixture
def service(tmp_path):
    """`guard up` with a domain file; ended afterwards."""
    (tmp_path / "guard.toml").write_text(GUARD.format(folder=tmp_path))
    write(tmp_path, "first.test")
    some = Service("up", tmp_path / "guard.toml")
    some.start()
    yield some
    some.stop()


def write(folder: Path, domain: str) -> None:
    """Has the domain file name one domain, in one go."""
    (folder / "new").write_text(f'["{domain}"]\nrelay_to = true\n')
    (folder / "new").rename(folder / "domains.toml")


def until_it_says(service: Service, text: str, times: int = 1) -> None:
    """Waits for lines of the log."""
    deadline = time.monotonic() + 20
    while service.said().count(text) < times:
        assert time.monotonic() < deadline, service.said()
        time.sleep(0.02)


def port(service: Service) -> int:
    """Where it listens, as it says itself."""
    (line,) = [line for line in service.said().splitlines() if line.startswith("listener ")]
    return int(line.partition("127.0.0.1:")[2].partition(",")[0])


def rcpt(client: smtplib.SMTP, recipient: str) -> int:
    """The code of the reply to RCPT in a new transaction."""
    client.rset()
    client.mail("a@sender.test")
    return client.rcpt(recipient)[0]


def test_a_client_stays_connected_through_good_and_bad_configurations(service, tmp_path):
    """The same connection meets each version of the file; a broken one changes nothing."""
    until_it_says(service, "listener ")
    with smtplib.SMTP("127.0.0.1", port(service), timeout=20) as client:
        assert rcpt(client, "x@first.test") == 250
        assert rcpt(client, "x@second.test") == 550
        write(tmp_path, "second.test")
        until_it_says(service, "the new configuration is in force")
        assert rcpt(client, "x@first.test") == 550
        assert rcpt(client, "x@second.test") == 250
        write(tmp_path, 'third.test"]\nrelay_too = true\n["')
        until_it_says(service, "the old one stays in force")
        assert rcpt(client, "x@second.test") == 250
        assert 'domains.toml: "third.test".relay_too: unknown option' in service.said()
        assert service.process
        before = service.said().count("the old one stays in force")
        service.process.send_signal(signal.SIGHUP)
        until_it_says(service, "the old one stays in force", before + 1)
        assert rcpt(client, "x@second.test") == 250
    assert service.stop() == 0
