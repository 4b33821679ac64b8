"""Users and passwords: the file, what it costs to guess, and what never shows."""

import asyncio
import threading
import time

import argon2
import pytest

from guard.lib.networks import parse_address
from guard.relay import credentials
from guard.relay.calls import Calls
from guard.relay.credentials import (
    HookAuthenticator,
    PasswordFile,
    load_credentials,
)
from guard.relay.hashes import hash_password
from guard.relay.hook import load_hook
from guard.relay.login import Login
from guard.roles import ConfigError, Unavailable

CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


def login(user, password):
    """An attempt to authenticate."""
    return Login(user, password, parse_address("192.0.2.7"), 4242, "192.0.2.1:25")


@pytest.fixture
def users():
    """ann with a password that costs little to check."""
    some = PasswordFile({"ann": CHEAP.hash("röd grød"), "bob": CHEAP.hash("")})
    yield some
    some.close()


def check(some, user, password):
    """The answer."""
    return asyncio.run(some.check(login(user, password)))


def test_the_right_password_and_no_other(users):
    """Exact user, exact password; text beyond ASCII is UTF-8."""
    assert check(users, "ann", "röd grød")
    for user, password in [
        ("ann", "rod grod"),
        ("ann", ""),
        ("Ann", "röd grød"),
        ("", ""),
        ("x", ""),
    ]:
        assert not check(users, user, password)


def test_a_hash_is_argon2id_with_a_salt_of_its_own():
    """Two hashes of one password differ, and both hold."""
    first, second = hash_password("tiger"), hash_password("tiger")
    assert first != second
    assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    some = PasswordFile({"a": first, "b": second})
    assert check(some, "a", "tiger")
    assert check(some, "b", "tiger")
    assert not check(some, "b", "Tiger")
    some.close()


def test_who_does_not_exist_costs_the_same_check(users, monkeypatch):
    """One hash is computed for each attempt, with the same parameters, whoever it is."""
    seen = []

    def verify(hashed, password):
        seen.append((argon2.extract_parameters(hashed), password))
        return True  # even a hit on the stand-in's hash lets nobody in

    monkeypatch.setattr(credentials, "verify", verify)
    assert not check(users, "nobody", "guess")
    assert check(users, "ann", "guess")
    assert len(seen) == 2
    assert seen[0] == seen[1]


def test_guessing_keeps_few_threads_busy_and_is_turned_away_in_time(users, monkeypatch):
    """Two at a time; beyond what can be answered soon, a temporary refusal at once."""
    monkeypatch.setattr(credentials, "_WAITING", 3)
    going, most, lock = 0, 0, threading.Lock()

    def verify(hashed, password):
        nonlocal going, most
        with lock:
            going += 1
            most = max(most, going)
        time.sleep(0.05)
        with lock:
            going -= 1
        return False

    monkeypatch.setattr(credentials, "verify", verify)

    async def storm():
        tries = [users.check(login("ann", str(n))) for n in range(20)]
        return await asyncio.gather(*tries, return_exceptions=True)

    answers = asyncio.run(storm())
    assert answers.count(False) == 5
    assert sum(isinstance(answer, Unavailable) for answer in answers) == 15
    assert most == 2
    assert users._under_way == 0


def test_a_file_is_a_line_per_user(tmp_path):
    """Comments are welcome, Dovecot's way to write the same hash too."""
    path = tmp_path / "credentials.toml"
    path.write_text(
        f'# staff\n"ann@a.test" = "{CHEAP.hash("x")}"\nbob = "{{ARGON2ID}}{CHEAP.hash("y")}"\n'
    )
    some = PasswordFile(load_credentials(path))
    assert check(some, "ann@a.test", "x")
    assert check(some, "bob", "y")
    some.close()


def test_an_empty_file_lets_nobody_in(tmp_path):
    """And costs whoever tries a real check."""
    path = tmp_path / "credentials.toml"
    path.write_text("")
    some = PasswordFile(load_credentials(path))
    assert not check(some, "ann", "")
    some.close()


def test_faults_name_file_and_user_and_show_no_secret(tmp_path):
    """A password in the place of a hash is not repeated."""
    path = tmp_path / "credentials.toml"
    path.write_text('ann = "hunter2"\nbob = 5\n[carol]\nhash = "x"\n[d]\n')
    with pytest.raises(ConfigError) as error:
        load_credentials(path)
    assert [fault.key for fault in error.value.faults] == ['"ann"', '"bob"', '"carol"', '"d"']
    assert "hunter2" not in str(error.value)
    path.write_text('ann = "hunter2\n')
    with pytest.raises(ConfigError) as error:
        load_credentials(path)
    assert "hunter2" not in str(error.value)
    assert "not TOML" in str(error.value)
    with pytest.raises(ConfigError, match="No such file"):
        load_credentials(tmp_path / "none.toml")


@pytest.mark.parametrize("bad", ["$argon2id$", "$argon2id$v=19$m=1,t=1,p=1$x$y", "", "{PLAIN}x"])
def test_what_is_no_hash_is_found_when_the_file_is_read(tmp_path, bad):
    """Not when somebody logs in."""
    path = tmp_path / "credentials.toml"
    path.write_text(f'ann = "{bad}"\n')
    with pytest.raises(ConfigError, match="is no hash of argon2"):
        load_credentials(path)


def test_a_broken_hash_of_the_right_shape_lets_nobody_in():
    """It is no error of the session."""
    some = PasswordFile({"ann": "$argon2id$v=19$m=8,t=1,p=1$" + "A" * 13 + "$" + "A" * 17})
    assert not check(some, "ann", "x")
    some.close()


def test_a_hook_answers_in_the_files_stead(tmp_path):
    """Yes and no are its own; anything else is a service that does not answer now."""
    path = tmp_path / "policy.py"
    path.write_text(
        "def check_password(user, password, conn_meta):\n"
        "    if user == 'bad':\n"
        "        raise ValueError(password)\n"
        "    return password == 'tiger'\n"
    )
    calls = Calls()
    some = HookAuthenticator(load_hook(path, calls))
    assert check(some, "ann", "tiger") is True
    assert check(some, "ann", "lion") is False
    with pytest.raises(Unavailable) as error:
        check(some, "bad", "hunter2")
    assert f"{path}: check_password raised ValueError (line 3 of" in str(error.value)
    assert "hunter2" not in str(error.value)
    some.close()
    calls.close()
