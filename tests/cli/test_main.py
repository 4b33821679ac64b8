"""`guard` finds its commands and answers with the exit codes of sysexits."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from service import PROJECT

from guard.cli.main import COMMANDS, cli, run

FIVE_FAULTS = """
stae = 1
[store]
url = "http://localhost"
[[listener]]
listen = "0.0.0.0:99999"
relay_hosts = ["10.0.0.1/24"]
[firewall]
backend = "nft"
"""


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name):
    """Each says in a sentence what it does, and explains each of its options."""
    done = CliRunner().invoke(cli, [name, "--help"])
    assert done.exit_code == 0, done.output
    command = cli.get_command(None, name)
    assert command.help
    for parameter in command.params:
        if parameter.param_type_name == "option":
            assert parameter.help, f"{name}: {parameter.name} has no help"


def test_five_faults_are_five_lines_and_78(tmp_path, capsys):
    """Every command that reads the configuration reports all of it at once."""
    path = tmp_path / "guard.toml"
    path.write_text(FIVE_FAULTS)
    for arguments in (["bans"], ["up"], ["daemon"]):
        assert run([*arguments, "-c", str(path)]) == 78
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 5
        assert all(line.startswith(f"guard: {path}: ") for line in lines)


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["bans", "--nonsense"],
        ["ban"],
        ["unban"],
        ["unban", "192.0.2.1", "--all"],
        ["--x"],
    ],
)
def test_usage_is_64(arguments, capsys):
    """What cannot be understood is a usage error, on stderr alone."""
    assert run(arguments) == 64
    out, err = capsys.readouterr()
    assert not out
    assert "Usage" in err or "there is no command" in err


def test_without_arguments_the_commands_are_listed(capsys):
    """A newcomer who types `guard` sees what there is."""
    assert run([]) in (0, 64)
    shown = "".join(capsys.readouterr())
    assert all(name in shown for name in COMMANDS)


@pytest.fixture
def export(tmp_path):
    """The command line that prints more than a pipe holds."""
    config = tmp_path / "guard.toml"
    config.write_text('[state]\ndir = "state"\n')
    many = tmp_path / "many.txt"
    many.write_text("".join(f"11.0.{n >> 8}.{n & 255}\n" for n in range(2000)))
    assert run(["import", str(many), "-c", str(config)]) == 0
    return [sys.executable, "-m", "guard", "export", "-c", str(config)]


def test_a_reader_that_goes_away_is_no_error(export):
    """`guard export | head -1` ends quietly."""
    with subprocess.Popen(
        export, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=PROJECT
    ) as child:
        assert child.stdout.readline()
        child.stdout.close()
        assert (child.wait(60), child.stderr.read()) == (0, b"")


def test_a_full_disk_is_said_in_a_line(export):
    """`guard export > file` where nothing more fits."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(export, stdout=full, stderr=subprocess.PIPE, cwd=PROJECT, text=True)
    said = "guard: cannot write: No space left on device\n"
    assert (done.returncode, done.stderr) == (69, said)
