"""`guard passwd`: the password comes in by prompt or stdin, and only its hash goes out."""

import asyncio
import os
import pty
import subprocess
import sys

import pytest

from guard.lib.networks import parse_address
from guard.relay.credentials import PasswordFile, load_credentials
from guard.relay.login import Login

GUARD = [sys.executable, "-m", "guard", "passwd"]


def run(*arguments, password="tiger\n"):
    """The command with `password` on its standard input."""
    return subprocess.run([*GUARD, *arguments], input=password.encode(), capture_output=True)


def right(path, user, password):
    """Whether the file lets `user` in with `password`."""
    some = PasswordFile(load_credentials(path))
    try:
        return asyncio.run(some.check(Login(user, password, parse_address("::1"), 1, "l")))
    finally:
        some.close()


@pytest.fixture
def path(tmp_path):
    """A credentials file that is not there yet."""
    return tmp_path / "credentials.toml"


def test_without_a_file_the_line_is_printed(path):
    """Ready to be pasted; it holds the hash and not the password."""
    done = run("ann@a.test")
    assert done.returncode == 0
    assert b"tiger" not in done.stdout + done.stderr
    path.write_bytes(done.stdout)
    assert right(path, "ann@a.test", "tiger")
    assert not right(path, "ann@a.test", "lion")


def test_a_file_is_made_for_its_owner_alone_and_changed_in_place(path):
    """The mode that an operator gave it stays; other users are not touched."""
    assert run("ann", "-f", str(path)).returncode == 0
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    assert run("bob", "-f", str(path), password="lion").returncode == 0
    assert run("ann", "-f", str(path), password="panther\r\nmore").returncode == 0
    assert path.stat().st_mode & 0o777 == 0o640
    assert right(path, "ann", "panther")
    assert right(path, "bob", "lion")
    assert not right(path, "ann", "tiger")
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_a_user_can_be_removed(path):
    """And is told when not there, exit code 65."""
    run("ann", "-f", str(path))
    assert run("ann", "-f", str(path), "--delete").returncode == 0
    assert load_credentials(path) == {}
    gone = run("ann", "-f", str(path), "--delete")
    assert gone.returncode == 65
    assert b"there is no user 'ann'" in gone.stderr


def test_on_a_terminal_it_asks_twice_and_shows_nothing(path):
    """The password is not echoed."""
    command, terminal = pty.openpty()
    child = subprocess.Popen(
        [*GUARD, "ann", "-f", str(path)], stdin=terminal, stdout=terminal, stderr=terminal
    )
    os.close(terminal)
    heard = b""
    for prompt in (b"Password: ", b"Repeat for confirmation: "):
        while not heard.endswith(prompt):
            heard += os.read(command, 1024)
        os.write(command, b"tiger\n")
    assert child.wait(20) == 0
    os.close(command)
    assert b"tiger" not in heard
    assert right(path, "ann", "tiger")


@pytest.mark.parametrize(
    ("arguments", "password", "code", "says"),
    [
        (["ann"], "\n", 65, b"must not be empty"),
        (["ann"], "", 65, b"must not be empty"),
        (["a\nb"], "x", 64, b"printable"),
        ([""], "x", 64, b"printable"),
        (["ann", "--delete"], "x", 64, b"--delete needs --file"),
        (["ann", "tiger"], "x", 64, b"unexpected extra argument"),
        ([], "x", 64, b"Missing argument"),
        (["ann", "-f", "/nowhere/at/all"], "x", 77, b"cannot change /nowhere/at/all"),
    ],
)
def test_what_cannot_be_done_is_said(arguments, password, code, says):
    """With an exit code, and no traceback."""
    done = run(*arguments, password=password)
    assert done.returncode == code
    assert says in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_file_with_a_fault_is_left_alone(path):
    """A slip of the editor must not cost the other users their entries."""
    path.write_text('ann = "not a hash"\n')
    done = run("bob", "-f", str(path))
    assert done.returncode == 78
    assert path.read_text() == 'ann = "not a hash"\n'
    assert b"not a hash" not in done.stderr.replace(b"is no argon2 hash", b"")
