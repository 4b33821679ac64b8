"""The documentation is true: every command in it runs, every command there is stands in it."""

import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from service import PROJECT, Service

from guard.cli.main import COMMANDS

PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
README = PAGES[0].read_text()
FENCE = re.compile(r"^```[a-z]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINE = re.compile(r"^(?:[$#] )?(?:\.venv/bin/)?guard (\S.*)$")
# Services run until they are told to stop; other tests run them.
SERVICES = {"up", "listener", "daemon"}
# port25.toml is only asked about, never run: a test does not listen on port 25.
CONFIGS = {
    "relay-check": "port25.toml", "feeds": "feeds.toml", "sources": "sources.toml",
    "report": "report.toml",
}  # fmt: skip
NO_CONFIG = {"demo", "passwd", "policy", "expire"}


def documented() -> list[tuple[str, str]]:
    """(page, command line) for every line in a code block that calls guard."""
    found = []
    for page in PAGES:
        for block in FENCE.findall(page.read_text()):
            lines = [line.split("  #")[0] for line in block.replace("\\\n", " ").splitlines()]
            found += [
                (page.name, match[1]) for line in lines if (match := LINE.match(line.strip()))
            ]
    return list(dict.fromkeys(found))


def test_every_command_is_documented():
    """docs/commands.md shows each command, and nothing that is none."""
    text = (PROJECT / "docs" / "commands.md").read_text()
    shown = set(re.findall(r"\bguard ([a-z][a-z-]*)", text))
    assert set(COMMANDS) <= shown
    assert {name for _, line in documented() if (name := line.split()[0]) not in COMMANDS} == set()


def test_links_lead_somewhere():
    """Every relative link of README and docs is a file of the project."""
    broken = [
        f"{page.name}: {link}"
        for page in PAGES
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / link).exists()
    ]
    assert not broken


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    """A folder with every file that the documentation names, and a daemon that runs there."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "guard.toml").write_text(
        '[state]\ndir = "state"\n[[listener]]\nlisten = "127.0.0.1:0"\n'
        "[protect]\nreserved = false\nown = false\n"
    )
    # Lists of these names, from a file: nothing is fetched from their owners.
    (folder / "feeds.toml").write_text(
        '[state]\ndir = "feeds"\n'
        + "".join(
            f'[[feed]]\ntype = "plain"\nname = "{name}"\npath = "list.txt"\n'
            for name in ("spamhaus-drop", "mxroute")
        )
    )
    (folder / "list.txt").write_text("198.51.100.0/24\n")
    (folder / "report.toml").write_text(
        '[state]\ndir = "report"\n[report.abuseipdb]\nkey_file = "key"\ndry_run = true\n'
    )
    (folder / "sources.toml").write_text(
        '[state]\ndir = "sources"\n[[source]]\ntype = "kumomta-log"\npath = "log/records.jsonl"\n'
    )
    (folder / "port25.toml").write_text('[[listener]]\nlisten = "0.0.0.0:25"\n')
    record = (
        '{"type":"Rejection","timestamp":1757675281,"response":{"code":550,"content":"relaying '
        'not permitted","command":"DATA"},"peer_address":{"name":"x","addr":"192.0.2.1"}}\n'
    )
    (folder / "log").mkdir()
    (folder / "log" / "records.jsonl").write_text(record * 5)
    (folder / "ledger.jsonl").write_text(
        '{"network":"192.0.2.9","source":"manual","since":1,"until":null}\n'
    )
    (folder / "networks.txt").write_text("192.0.2.10\n")
    with closing(sqlite3.connect(folder / "fail2ban.sqlite3")) as database:
        database.execute("CREATE TABLE bips (ip, jail, timeofban, bantime, bancount)")
    service = Service("up", folder / "guard.toml")
    service.start()
    yield folder
    service.stop()


def runnable() -> list[tuple[str, str]]:
    """Documented lines that end by themselves."""
    return [(page, line) for page, line in documented() if line.split()[0] not in SERVICES]


@pytest.mark.parametrize(("page", "line"), runnable())
def test_documented_command_runs(sandbox: Path, page: str, line: str):
    """It is understood and does what it says; an answer of no (1) is an answer."""
    words = [
        re.sub(r"^/(var/log|etc)/\S*?([^/]*)$", lambda m: _file(sandbox, m[2]), word)
        for word in shlex.split(line)
    ]
    if words[0] not in NO_CONFIG and "-c" not in words:
        words += ["-c", str(sandbox / CONFIGS.get(words[0], "guard.toml"))]
    done = subprocess.run(
        [sys.executable, "-m", "guard", *words], capture_output=True, text=True, timeout=120,
        cwd=sandbox, input="correct horse battery staple\n",
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(PROJECT)},
    )  # fmt: skip
    assert done.returncode in (0, 1), f"{page}: guard {line}: {done.stderr}"
    assert "Traceback" not in done.stderr


def _file(sandbox: Path, name: str) -> str:
    """What stands in for a file of /var/log or /etc."""
    return str(sandbox / (name if name.endswith(".toml") else "log/records.jsonl"))


def test_the_transcript_in_the_readme_is_real():
    """What README shows of the demo is what the demo prints, ports, times and ids aside."""
    shown = re.search(r"<!-- transcript: guard demo -->\n```\n(.*?)```", README, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-m", "guard", "demo"], capture_output=True, text=True, timeout=120,
        cwd=PROJECT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

    def plain(text: str) -> list[str]:
        text = re.sub(r"(127\.0\.0\.\d+):\d+", r"\1:PORT", text)
        text = re.sub(r"ids=[0-9a-f]+", "ids=ID", text)
        text = re.sub(r"\d+s ago|59m5\ds|23h59m|1h|1d\b", "TIME", text)
        return [re.sub(r" +", " ", line).strip() for line in text.strip().splitlines()]

    assert plain(shown[1]) == plain(done.stdout)
