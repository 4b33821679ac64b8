"""docs/servers.md with a real Postfix: its log feeds Guard, and Guard's list turns peers away."""

import contextlib
import re
import shutil
import smtplib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from postfix import Postfix, eventually

PROJECT = Path(__file__).parent.parent.parent
pytestmark = [
    pytest.mark.root,
    pytest.mark.fail2ban,
    pytest.mark.skipif(not shutil.which("postfix"), reason="needs postfix"),
]
DOCS = (PROJECT / "docs" / "servers.md").read_text()


def documented(key: str) -> str:
    """The value that the page gives a setting of Postfix."""
    found = re.search(rf"^{key} = (.+)$", DOCS, re.MULTILINE)
    assert found, key
    return found[1]


def guard(config: Path, *words: str) -> str:
    """What a command prints."""
    run = subprocess.run(
        [sys.executable, "-m", "guard", *words, "-c", str(config)],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.fixture
def config(tmp_path):
    """Guard with fail2ban's filters and the jail for Postfix; loopback is not protected here."""
    (tmp_path / "jail.d").mkdir()
    shipped = PROJECT / "jail.d" / "mailserver.conf"
    (tmp_path / "jail.d" / shipped.name).write_bytes(shipped.read_bytes())
    (tmp_path / "jail.d" / "on.local").write_text("[mail-postfix]\nenabled = true\n")
    path = tmp_path / "guard.toml"
    path.write_text(
        f'[state]\ndir = "{tmp_path}/state"\n'
        "[protect]\nreserved = false\nown = false\nssh = false\n"
        f'[jails]\npath = ["{tmp_path}/jail.d"]\nfilters = ["/etc/fail2ban/filter.d"]\n'
    )
    return path


def refused(port: int, peer: str) -> tuple[int, bytes]:
    """What a stranger at `peer` hears who tries to relay; the code of the banner if not 220."""
    with smtplib.SMTP(timeout=10, source_address=(peer, 0)) as client:
        code, text = client.connect("127.0.0.1", port)
        if code != 220:
            return code, text
        client.ehlo("win-clj1b0gq6jp")
        client.mail("test@test.example")
        return client.rcpt("mmiihhww09@gmail.example")


def test_a_stranger_is_found_in_the_log_and_turned_away(config, tmp_path):
    """Five refused relay attempts ban in a replay; the exported ban stops that peer, no other."""
    with Postfix(
        mynetworks="127.0.0.1/32",
        smtpd_relay_restrictions="permit_mynetworks, reject_unauth_destination",
    ) as server:
        table = server.folder / "bans.cidr"
        table.write_text("")
        for key in ("smtpd_delay_reject", "smtpd_client_restrictions"):
            value = documented(key).replace("/var/lib/guard/bans.cidr", str(table))
            etc = server.folder / "etc"
            subprocess.run(["postconf", "-c", etc, "-e", f"{key}={value}"], check=True)
        server.stop()
        server.start()
        for _ in range(5):
            assert refused(server.port, "127.0.0.7")[0] == 554
        assert refused(server.port, "127.0.0.8")[0] == 554
        assert eventually(lambda: server.said().count("reject: RCPT") == 6)
        out = guard(config, "replay", "--json", "--filter", "postfix[mode=normal]",
                    str(server.folder / "log"))  # fmt: skip
        assert out.count('"address": "127.0.0.7", "jail": "mail-postfix"') == 1
        assert "127.0.0.8" not in out
        guard(config, "ban", "127.0.0.7")
        guard(config, "export", "bans", str(table), "--format", "postfix")
        table.chmod(0o644)
        subprocess.run(["postfix", "-c", server.folder / "etc", "reload"], check=True)
        # A reload reaches each smtpd when it is done with the client that it has.
        assert eventually(
            lambda: b"Relay access denied" not in refused(server.port, "127.0.0.7")[1]
        )
        assert refused(server.port, "127.0.0.7")[0] == 554
        assert b"Relay access denied" in refused(server.port, "127.0.0.8")[1]


@contextlib.contextmanager
def spawning(*command: str) -> Iterator[int]:
    """A port where each connection gets a program of its own, as from spawn(8)."""
    running: list[subprocess.Popen[bytes]] = []
    with socket.create_server(("127.0.0.1", 0)) as door:

        def serve() -> None:
            with contextlib.suppress(OSError):  # the end: shut down
                while True:
                    connection, _ = door.accept()
                    with connection:
                        running.append(
                            subprocess.Popen(
                                command, stdin=connection, stdout=connection, cwd=PROJECT
                            )
                        )

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield door.getsockname()[1]
        finally:
            door.shutdown(socket.SHUT_RDWR)
            thread.join()
            for process in running:
                process.wait(20)


def test_a_policy_service_turns_the_banned_away_without_a_reload(config, tmp_path):
    """The page's setting, with Guard's own program: a 421 as soon as the list has the peer."""
    value = re.search(r"^smtpd_client_restrictions = (check_policy.*)$", DOCS, re.MULTILINE)
    service = re.search(r"^guard-policy unix .* argv=/usr/bin/guard (.*)$", DOCS, re.MULTILINE)
    assert value and service
    bans = tmp_path / "bans.txt"
    words = service[1].replace("/var/lib/guard/bans.txt", str(bans)).split()
    with spawning(sys.executable, "-m", "guard", *words) as port:
        setting = value[1].replace("unix:private/guard-policy", f"inet:127.0.0.1:{port}")
        with Postfix(mynetworks="127.0.0.1/32", smtpd_delay_reject="no",
                     smtpd_client_restrictions=setting) as server:  # fmt: skip
            assert refused(server.port, "127.0.0.7")[0] == 554
            guard(config, "ban", "127.0.0.7")
            guard(config, "export", "bans", str(bans))
            assert refused(server.port, "127.0.0.7") == (421, b"4.7.0 <unknown[127.0.0.7]>: "
                                                         b"Client host rejected: too many "
                                                         b"refused attempts")  # fmt: skip
            assert refused(server.port, "127.0.0.8")[0] == 554
