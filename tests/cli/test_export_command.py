"""`guard export`: files that other programs take as they are."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from dns.resolver import NXDOMAIN, Resolver
from dns.reversename import from_address
from support import free_port, need

from guard.cli.export import export
from guard.cli.main import run as guard
from guard.jails.files import load_jails

PROJECT = Path(__file__).parent.parent.parent


@pytest.fixture
def config(tmp_path):
    """The shipped jails and an embedded store."""
    path = tmp_path / "guard.toml"
    path.write_text(
        f'[state]\ndir = "{tmp_path}/state"\n[protect]\nallow = ["8.8.8.0/24", "x.example.com"]\n'
        "reserved = false\n[jails]\n"
        f'path = ["{PROJECT}/jail.d"]\nfilters = ["{PROJECT}/filter.d"]\n'
        f'[[listener]]\nlisten = "127.0.0.1:0"\nscanners = ["{tmp_path}/scanners.toml"]\n'
    )
    (tmp_path / "scanners.toml").write_text(
        "[[scanner]]\nname = 'A'\nehlo = ['^a-scanner\\b', '[^x]']\n"
    )
    return path


def run(config, *arguments: object, code: int = 0) -> Result:
    """One `guard export` command."""
    first, *rest = map(str, arguments)
    result = CliRunner().invoke(export, [first, "-c", str(config), *rest])
    assert result.exit_code == code, result.output
    return result


def test_the_jails_that_run_are_written_with_their_filters(config, tmp_path):
    """What was written reads as the same jails, and again the same when written twice."""
    folder = tmp_path / "out"
    done = run(config, "fail2ban", folder, "--json", "--logpath", "/x")
    assert "left out: [^x]" in done.stderr
    files = json.loads(done.stdout)
    assert [name.removeprefix(f"{folder}/") for name in files] == [
        "filter.d/kumomta.conf",
        "jail.d/guard-jails.conf",
        "filter.d/kumomta.d/guard-scanners.conf",
    ]  # fmt: skip
    scanners = (folder / "filter.d" / "kumomta.d" / "guard-scanners.conf").read_text()
    assert "a-scanner" in scanners
    ours = load_jails([PROJECT / "jail.d"], [PROJECT / "filter.d"])
    theirs = load_jails([folder / "jail.d"], [folder / "filter.d"])
    assert [(j.name, j.window, j.bantime, j.kinds) for j in theirs] == [
        (j.name, j.window, j.bantime, j.kinds) for j in ours
    ]
    assert all([str(n) for n in jail.ignoreip] == ["8.8.8.0/24"] for jail in theirs)
    assert (folder / "jail.d" / "guard-jails.conf").read_text().count("logpath = /x\n") == len(ours)
    assert run(config, "fail2ban", folder).stdout.split() == files


def test_a_jail_that_fail2ban_would_count_otherwise_is_left_out(config, tmp_path):
    """It passes over `kinds`: a jail for wrong passwords would ban for every refusal there."""
    (tmp_path / "jail.d").mkdir()
    (tmp_path / "jail.d" / "own.conf").write_text(
        '[mine]\nguard = true\nfilter = kumomta[kinds="auth_failed"]\nmaxretry = 3\n'
        "[other]\nguard = true\nfilter = kumomta[mode=auth]\n"
    )
    text = config.read_text().replace(f"{PROJECT}/jail.d", f"{tmp_path}/jail.d")
    config.write_text(text)
    done = run(config, "fail2ban", tmp_path / "out")
    assert "left out: jail mine: fail2ban knows no kinds" in done.stderr
    written = (tmp_path / "out" / "jail.d" / "guard-jails.conf").read_text()
    assert "[other]" in written and "[mine]" not in written


def test_a_folder_that_cannot_be_written_is_told(config, tmp_path):
    """With its name, and exit code 65."""
    (tmp_path / "file").write_text("")
    assert guard(["export", "fail2ban", "-c", str(config), str(tmp_path / "file" / "x")]) == 65


@pytest.fixture
def banned(config, capsys):
    """Three bans in the ledger."""
    for network in ("192.0.2.7", "198.51.100.0/24", "2001:db8::/64"):
        assert guard(["ban", "-c", str(config), network, "--for", "1h"]) == 0
    capsys.readouterr()
    return config


def test_bans_are_one_network_a_line(banned, tmp_path):
    """To a file, at once and whole; or to standard output."""
    expected = "192.0.2.7\n198.51.100.0/24\n2001:db8::/64\n"
    assert run(banned, "bans", "-").stdout == expected
    run(banned, "bans", tmp_path / "bans.txt")
    assert (tmp_path / "bans.txt").read_text() == expected
    assert not list(tmp_path.glob(".bans*"))


def test_postfix_takes_the_table(banned, tmp_path):
    """Debian's Postfix finds the banned in it, and nobody else."""
    need(bool(shutil.which("postmap")), "postfix")
    table = tmp_path / "bans.cidr"
    run(banned, "bans", table, "--format", "postfix", "--reply", "REJECT go away")
    asked = {
        "192.0.2.7": "REJECT go away", "192.0.2.8": "", "198.51.100.200": "REJECT go away",
        "2001:db8::1": "REJECT go away", "2001:db8:0:1::1": "",
    }  # fmt: skip
    for address, reply in asked.items():
        found = subprocess.run(
            ["postmap", "-q", address, f"cidr:{table}"], capture_output=True, text=True
        )
        assert found.stdout.strip() == reply, found.stderr


def test_the_list_can_be_asked_for_by_dns(banned, tmp_path):
    """Debian's rbldnsd serves it: the banned are listed with a text, nobody else, IPv6 too."""
    need(bool(shutil.which("rbldnsd")), "rbldnsd")
    need(os.geteuid() == 0, "root")  # it wants to give up a root's rights
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:  # where its user can read
        Path(folder).chmod(0o755)
        run(banned, "bans", f"{folder}/bans.zone", "--format", "rbldnsd")
        Path(folder, "bans.zone").chmod(0o644)
        server = subprocess.Popen(
            ["rbldnsd", "-n", "-u", "nobody", "-b", f"127.0.0.1/{port}", "-w", folder,
             "bans.guard.example:combined:bans.zone"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert server.stdout
        with server, server.stdout:
            try:
                assert any(" started " in line for line in server.stdout)
                listed = {
                    address: _listed(address, port)
                    for address in ("192.0.2.7", "192.0.2.8", "198.51.100.200", "2001:db8::1",
                                    "2001:db8:0:1::1")
                }  # fmt: skip
            finally:
                server.terminate()
    there = ["127.0.0.2", '"too many refused attempts"']
    assert list(listed.values()) == [there, [], there, there, []]


def _listed(address: str, port: int) -> list[str]:
    """What a server of DNS says of an address."""
    resolver = Resolver(configure=False)
    resolver.nameservers, resolver.port, resolver.lifetime = ["127.0.0.1"], port, 5
    reverse = from_address(address).to_text()
    name = re.sub(r"(in-addr|ip6)\.arpa\.$", "bans.guard.example.", reverse)
    try:
        return [resolver.resolve(name, kind)[0].to_text() for kind in ("A", "TXT")]
    except NXDOMAIN:
        return []


@pytest.mark.parametrize("every", ["soon", "0s", "-1"])
def test_a_pause_that_is_none_is_a_mistake(banned, every):
    """Exit code of a usage error, before anything is written."""
    assert guard(["export", "bans", "-c", str(banned), "-", "--every", every]) == 64
