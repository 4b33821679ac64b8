"""`guard filter`: the same counts as fail2ban-regex, and the lines on request."""

import gzip
import json
import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from guard.cli.filter import filter_

LOGS = Path("/usr/lib/python3/dist-packages/fail2ban/tests/files/logs")
LOG = (
    b"Sep 12 11:08:01 x 192.0.2.1\nSep 12 11:08:01 y\n\nSep 12 11:08:01 x 192.0.2.2 friend\nx a.b\n"
)


@pytest.fixture
def config(tmp_path):
    """A configuration with one filter of its own, and those of fail2ban."""
    (tmp_path / "own.conf").write_text(
        "[Definition]\nfailregex = ^ x <HOST>\n  ^x <HOST>\nignoreregex = friend$\n"
    )
    path = tmp_path / "guard.toml"
    path.write_text(f'[jails]\nfilters = ["{tmp_path}", "/etc/fail2ban/filter.d"]\n')
    return path


def run(config, *arguments: object, code: int = 0, stdin: bytes = b"") -> Result:
    """One `guard filter` command."""
    result = CliRunner().invoke(filter_, ["-c", str(config), *map(str, arguments)], input=stdin)
    assert result.exit_code == code, result.output
    return result


def test_counts_and_lines(config, tmp_path):
    """Matched, missed, ignored, for each expression; lines escaped; one JSON document."""
    log = tmp_path / "log.gz"
    log.write_bytes(gzip.compress(LOG))
    text = run(config, "own", log, "--show", "matched", "--show", "missed").stdout
    assert "own: 5 lines" in text
    assert "1) [2] ^ x <HOST>" in text
    assert "2 matched, 2 missed, 1 ignored; 2 lines had no date" in text
    assert re.search(r"\n  \d{4}-09-12 [\d:]+ 192\.0\.2\.1  Sep 12", text)
    answer = json.loads(run(config, "own", log, "--json", "--show", "ignored").stdout)
    assert (answer["matched"], answer["missed"], answer["ignored"]) == (2, 2, 1)
    assert [row["matches"] for row in answer["expressions"]] == [2, 1]
    assert answer["ignored_lines"] == ["Sep 12 11:08:01 x 192.0.2.2 friend"]
    assert "found" not in answer


def test_bytes_of_a_stranger_do_not_reach_the_terminal(config):
    """Escapes, and a last line that did not end."""
    text = run(config, "own", "-", "--show", "matched", stdin=b"x 192.0.2.1 \x1b[31m\xff").stdout
    assert "\x1b" not in text
    assert "\\x1b[31m" in text


def test_nothing_found_is_1_and_a_bad_filter_is_told(config, tmp_path):
    """Exit codes, and every fault of the file."""
    log = tmp_path / "log"
    log.write_bytes(b"nothing\n" * 3)
    assert "0 matched, 3 missed" in run(config, "own", log, code=1).stdout
    from guard.cli.main import run as guard

    (tmp_path / "bad.conf").write_text("[Definition]\nfailregex = ( <HOST>\n")
    assert guard(["filter", "-c", str(config), "bad", str(log)]) == 78
    assert guard(["filter", "-c", str(config), "own", str(tmp_path / "gone")]) == 65


@pytest.mark.fail2ban
@pytest.mark.parametrize(
    "name", ["postfix", "postfix[mode=aggressive]", "exim", "dovecot", "sendmail-auth", "assp"]
)
def test_the_counts_are_those_of_fail2ban_regex(config, name):
    """On fail2ban's own sample logs, annotations and all."""
    log = LOGS / name.partition("[")[0]
    if not log.exists():
        pytest.skip("this fail2ban came without its sample logs")
    theirs = subprocess.run(
        ["fail2ban-regex", "--usedns", "raw", str(log), f"/etc/fail2ban/filter.d/{log.name}.conf"]
        if name == log.name
        else ["fail2ban-regex", "--usedns", "raw", str(log), name],
        capture_output=True,
        text=True,
    ).stdout
    counts = re.search(r"Lines: \d+ lines, (\d+) ignored, (\d+) matched, (\d+) missed", theirs)
    assert counts, theirs
    # fail2ban-regex leaves out comments and empty lines.
    lines = [x for x in log.read_bytes().split(b"\n") if x.strip() and not x.startswith(b"#")]
    answer = json.loads(run(config, name, "-", "--json", stdin=b"\n".join(lines)).stdout)
    ours = (answer["ignored"], answer["matched"], answer["missed"])
    assert ours == tuple(map(int, counts.groups()))
