"""Without `[state]` in guard.toml the commands find the service of the units all the same."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from service import PROJECT, Service
from support import free_port

pytestmark = pytest.mark.root
USER = 65534
CONFIG = """
[[listener]]
listen = "127.0.0.1:{smtp}"
[web]
listen = "127.0.0.1:{web}"
[protect]
reserved = false
own = false
"""
# What systemd does for the unit: a directory of the service, which it is told, and a user. In a
# mount namespace of its own, so that this machine's /var/lib stays as it is.
UNIT = f"""
mount -t tmpfs tmpfs /var/lib && mkdir /var/lib/guard && chown {USER}:{USER} /var/lib/guard &&
chown -R {USER}:{USER} "$0" && export STATE_DIRECTORY=/var/lib/guard HOME=/var/lib/guard &&
exec setpriv --reuid {USER} --regid {USER} --clear-groups "$@"
"""


@pytest.fixture
def service():
    """`guard up` as the unit runs it."""
    with tempfile.TemporaryDirectory(prefix="guard-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "guard.toml").write_text(CONFIG.format(smtp=free_port(), web=free_port()))
        prefix = ("unshare", "--mount", "sh", "-c", UNIT, name)
        made = Service("up", folder / "guard.toml", prefix)
        try:
            made.start()
            yield made
        finally:
            made.stop()


def command(service, *arguments, user=0, group=0):
    """Runs a command of root, or of somebody else, beside the service."""
    home = service.config.parent / f"home-{user}"
    home.mkdir(exist_ok=True)
    os.chown(home, user, group)
    env = {"HOME": str(home), "PATH": os.environ["PATH"]}
    return subprocess.run(
        ["nsenter", "-t", str(service.process.pid), "-m", f"--wd={PROJECT}", "setpriv",
         f"--reuid={user}", f"--regid={group}", "--clear-groups",
         sys.executable, "-m", "guard", *arguments, "-c", str(service.config)],
        capture_output=True, text=True, timeout=60, env=env,
    )  # fmt: skip


def test_root_and_its_group_find_it_and_others_hear_that_they_may_not(service):
    """Nobody works on a ledger of his own that the service never reads."""
    assert command(service, "ban", "203.0.113.9").returncode == 0
    member = command(service, "bans", user=1234, group=USER)
    assert (member.returncode, "203.0.113.9" in member.stdout) == (0, True), member.stderr
    stranger = command(service, "bans", user=1234, group=1234)
    assert (stranger.returncode, stranger.stdout) == (77, ""), stranger.stderr
