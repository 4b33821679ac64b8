"""The units are ones that systemd accepts, and start commands that there are."""

import shutil
import subprocess

import pytest
from support import PROJECT, need

from guard.cli.main import COMMANDS

ALL = sorted((PROJECT / "systemd").glob("*.*"))
SERVICES = [unit for unit in ALL if "Type=notify" in unit.read_text()]


@pytest.mark.parametrize("unit", ALL, ids=lambda unit: unit.name)
def test_systemd_has_nothing_to_say_against_it(unit, tmp_path):
    """`systemd-analyze verify` is silent, with a program in the place of ours."""
    need(bool(shutil.which("systemd-analyze")), "systemd-analyze")
    for each in ALL:
        copy = tmp_path / each.name
        copy.write_text(each.read_text().replace("/usr/bin/guard ", "/bin/true "))
    done = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / unit.name],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_it_starts_a_service_of_ours_and_waits_until_it_is_ready(unit):
    """The command exists, and the unit waits for what it tells systemd."""
    text = unit.read_text()
    (command,) = [
        line.split()[1] for line in text.splitlines() if line.startswith("ExecStart=/usr/bin/guard")
    ]
    assert command in COMMANDS
    assert "Type=notify" in text
    # A configuration that is wrong does not get better by starting again.
    assert "78" in text.split("RestartPreventExitStatus=")[1].splitlines()[0]


def test_the_listener_cannot_touch_the_firewall():
    """Who reads strangers' bytes holds the right to low ports and no other."""
    text = (PROJECT / "systemd" / "guard-listener.service").read_text()
    assert "CapabilityBoundingSet=CAP_NET_BIND_SERVICE\n" in text
    assert "NET_ADMIN" not in text


def test_what_a_timer_starts_is_a_command_that_ends_by_itself():
    """Each timer has a service of its name, which runs once."""
    timers = [unit for unit in ALL if unit.suffix == ".timer"]
    assert timers
    for timer in timers:
        text = timer.with_suffix(".service").read_text()
        assert "Type=oneshot" in text
        (command,) = [
            line.split()[1] for line in text.splitlines() if line.startswith("ExecStart=")
        ]
        assert command in COMMANDS
