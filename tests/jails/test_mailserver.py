"""jail.d/mailserver.conf beside Debian's own configuration of fail2ban."""

import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from guard.jails.files import read_jails

PROJECT = Path(__file__).parent.parent.parent
ORACLE = PROJECT / "tests" / "oracles" / "fail2ban_reader.py"
STOCK = Path("/etc/fail2ban")


@pytest.fixture
def base(tmp_path):
    """A copy of /etc/fail2ban with what we ship put into it, as an operator does."""
    folder = tmp_path / "fail2ban"
    shutil.copytree(STOCK, folder)
    for kind in ("jail.d", "filter.d", "action.d"):
        for path in (PROJECT / kind).glob("*.conf"):
            assert not (folder / kind / path.name).exists(), f"{path.name} is fail2ban's own"
            shutil.copy(path, folder / kind)
    (folder / "jail.d" / "defaults-debian.conf").unlink(missing_ok=True)
    return folder


def commands(base):
    """What the real fail2ban makes of it, by jail."""
    run = subprocess.run(
        ["/usr/bin/python3", str(ORACLE)],
        input=json.dumps({"base": str(base), "jails": True}),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(run.stdout)["jails"]


def test_every_option_is_explained_and_every_jail_says_why():
    """In the head of kumomta.conf, option by option; a jail has a comment of its own above it."""
    head, *_ = (PROJECT / "jail.d" / "kumomta.conf").read_text().partition("\n\n")
    for path in sorted((PROJECT / "jail.d").glob("*.conf")):
        lines = path.read_text().splitlines()
        for before, line in itertools.pairwise(lines):
            assert not line.startswith("[") or before.startswith("# "), f"{path.name}: {line}"
            name = line.partition("=")[0].strip()
            if "=" in line and not line.startswith("#"):
                assert re.search(rf"^#  .*\b{re.escape(name)}\b", head, re.MULTILINE), line


@pytest.mark.fail2ban
def test_all_is_off_and_every_jail_can_be_switched_on(base):
    """Nothing runs by itself; switched on, each jail has expressions and no error."""
    assert commands(base) == {}
    names = [
        line[1:-1]
        for path in sorted((PROJECT / "jail.d").glob("*.conf"))
        for line in path.read_text().splitlines()
        if line.startswith("[")
    ]
    assert len(names) > 12
    (base / "jail.d" / "all.local").write_text(
        "".join(f"[{name}]\nenabled = true\naction = guard\n" for name in names)
    )
    found = commands(base)
    assert sorted(found) == sorted(names)
    for name, said in found.items():
        words = {command[2] for command in said}
        assert "addfailregex" in words or "multi-set" in {c[0] for c in said}, name
        assert "config-error" not in {command[0] for command in said}, said


@pytest.mark.fail2ban
def test_stock_jails_are_left_as_they_are(base):
    """No jail of fail2ban's own, and no default, is touched by our files."""
    (base / "jail.d" / "stock.local").write_text(
        "[postfix]\nenabled = true\n[dovecot]\nenabled = true\n[exim]\nenabled = true\n"
    )
    with_ours = commands(base)
    for path in (PROJECT / "jail.d").glob("*.conf"):
        (base / "jail.d" / path.name).unlink()
    assert commands(base) == with_ours
    assert len(with_ours) == 3


@pytest.mark.fail2ban
def test_guard_runs_them_with_fail2bans_filters(base):
    """Off by default in Guard too; switched on, each is a jail of a text filter."""
    filters = [PROJECT / "filter.d", STOCK / "filter.d"]
    assert all(
        not jail.name.startswith("mail-") for jail in read_jails([base / "jail.d"], filters).jails
    )
    (base / "jail.d" / "all.local").write_text(
        "[mail-postfix]\nenabled = true\n[mail-dovecot]\nenabled = true\n"
        "[mail-haraka]\nenabled = true\n"
    )
    files = read_jails([base / "jail.d"], filters)
    assert not files.faults
    jails = {jail.name: jail for jail in files.jails}
    assert jails["mail-postfix"].filter == "postfix[mode=normal]"
    assert not jails["mail-dovecot"].kinds
    assert jails["mail-haraka"].weak
