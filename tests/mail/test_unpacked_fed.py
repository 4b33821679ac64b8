"""docs/servers.md with a real Exim and OpenSMTPD: logs feed Guard, bans turn peers away."""

import re
import smtplib

import pytest
from postfix import eventually
from service import guard
from support import PROJECT
from unpacked import FIRST_ID, USERS, Unpacked, program

pytestmark = [pytest.mark.root, pytest.mark.fail2ban]
DOCS = (PROJECT / "docs" / "servers.md").read_text()
EXIM = """\
primary_hostname = mx.test
spool_directory = {folder}/exim
log_file_path = {folder}/exim/%slog
tls_advertise_hosts =
keep_environment =
acl_smtp_connect = acl_check_connect
acl_smtp_rcpt = acl_check_rcpt
begin acl
acl_check_rcpt:
  require message = relay not permitted
          domains = here.test
  accept
"""
OPENSMTPD = """\
listen on 127.0.0.1 port {port} hostname mx.test
action "out" relay host smtp://127.0.0.1:1
match from any for domain "here.test" action "out"
"""


def documented(heading: str) -> tuple[str, str]:
    """The filter and the ban list's lines, as a section of the page has them."""
    section = DOCS.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    found = re.search(r'^filter = "(.+)"$', section, re.MULTILINE)
    blocks = [block for block in section.split("```")[1::2] if block.startswith("\n")]
    assert found and len(blocks) == 1
    return found[1], blocks[0]


@pytest.fixture
def told(tmp_path):
    """Runs a command of Guard, which has the jails for Exim and OpenSMTPD; what it prints."""
    (tmp_path / "jail.d").mkdir()
    shipped = PROJECT / "jail.d" / "mailserver.conf"
    (tmp_path / "jail.d" / shipped.name).write_bytes(shipped.read_bytes())
    on = "[mail-exim]\nenabled = true\n[mail-opensmtpd]\nenabled = true\n"
    (tmp_path / "jail.d" / "on.local").write_text(on)
    config = tmp_path / "guard.toml"
    config.write_text(
        f'[state]\ndir = "{tmp_path}/state"\n'
        "[protect]\nreserved = false\nown = false\nssh = false\n"
        f'[jails]\npath = ["{tmp_path}/jail.d"]\n'
        f'filters = ["{PROJECT}/filter.d", "/etc/fail2ban/filter.d"]\n'
    )

    def run(*words: str) -> str:
        done = guard(*words, "-c", str(config))
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def answers(port: int, peer: str, *domains: str) -> list[int]:
    """The code of the banner, and of a recipient in each domain when that was 220."""
    with smtplib.SMTP(timeout=10, source_address=(peer, 0)) as client:
        codes = [client.connect("127.0.0.1", port)[0]]
        if codes == [220]:
            client.ehlo("win-clj1b0gq6jp")
            client.mail("test@test.example")
            codes += [client.rcpt(f"mmiihhww09@{domain}")[0] for domain in domains]
        return codes


def test_exim_finds_a_stranger_and_turns_him_away(told):
    """Five refused relay attempts ban in a replay; the exported ban drops that peer, no other."""
    exim = program("exim", "usr/sbin/exim4")
    filter_, acl = documented("Exim")
    with Unpacked() as server:
        conf = server.folder / "exim.conf"
        acl = acl.replace("/var/lib/guard/bans.txt", str(server.bans))
        conf.write_text(EXIM.format(folder=server.folder) + acl)
        pid = str(server.folder / "pid")
        server.start(exim, "-C", str(conf), "-bdf", "-oX", f"127.0.0.1.{server.port}", "-oP", pid)
        for _ in range(5):
            assert answers(server.port, "127.0.0.7", "far.example") == [220, 550]
        assert answers(server.port, "127.0.0.8", "here.test", "far.example") == [220, 250, 550]
        log = server.folder / "exim" / "mainlog"
        assert eventually(lambda: log.read_text().count("relay not permitted") == 6)
        out = told("replay", "--json", "--filter", filter_, str(log))
        assert out.count('"address": "127.0.0.7", "jail": "mail-exim"') == 1
        assert "127.0.0.8" not in out
        told("ban", "127.0.0.7")
        told("export", "bans", str(server.bans))
        assert answers(server.port, "127.0.0.7", "here.test") == [550]
        assert answers(server.port, "127.0.0.8", "here.test") == [220, 250]


def test_opensmtpd_finds_a_stranger_and_turns_him_away(told):
    """Ten refused relay attempts ban in a replay; the exported ban stops that peer, no other."""
    smtpd = program("opensmtpd", "usr/sbin/smtpd")
    filter_, lines = documented("OpenSMTPD")
    with Unpacked() as server:
        conf = server.folder / "smtpd.conf"
        lines = lines.replace("/var/lib/guard/bans.smtpd", str(server.bans))
        export = ("export", "bans", str(server.bans), "--format", "opensmtpd")
        told(*export)  # nobody yet, and the server starts
        # The first match counts, so the page's lines come before the server's own.
        conf.write_text(lines + OPENSMTPD.format(port=server.port))
        server.start(smtpd, "-F", "-f", str(conf))
        for _ in range(10):
            assert answers(server.port, "127.0.0.7", "far.example") == [220, 550]
        assert answers(server.port, "127.0.0.8", "here.test", "far.example") == [220, 250, 550]
        assert eventually(lambda: server.log.read_text().count('result="550') == 11)
        out = told("replay", "--json", "--filter", filter_, str(server.log))
        assert out.count('"address": "127.0.0.7", "jail": "mail-opensmtpd"') == 1
        assert "127.0.0.8" not in out
        told("ban", "127.0.0.7")
        told(*export)
        group = FIRST_ID + USERS.index("opensmtpq")
        control = smtpd.with_name("smtpctl")
        server.inside(control, "update", "table", "banned", group=group)
        assert answers(server.port, "127.0.0.7", "here.test") == [220, 550]
        assert answers(server.port, "127.0.0.8", "here.test") == [220, 250]
