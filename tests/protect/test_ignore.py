"""ignorecommand: run without a shell, with a timeout, and remembered."""

import pytest

from guard.lib.networks import parse_address, parse_network
from guard.protect.ignore import IgnoreCommand, run

ADDRESS = parse_address("185.4.0.7")


def script(tmp_path, body):
    """A program of the operator's."""
    path = tmp_path / "ignore"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_the_exit_status_decides(tmp_path):
    """0 spares, 1 does not; the address and family arrive as words."""
    path = script(tmp_path, f'echo "$@" >> {tmp_path}/log; [ "$1" = 185.4.0.7 ]')
    command = IgnoreCommand(f"{path} <ip> 'a b' <family>")
    assert command.ignores(ADDRESS, 0.0)
    assert not command.ignores(parse_network("2a03::/64"), 0.0)
    assert (tmp_path / "log").read_text() == "185.4.0.7 a b inet4\n2a03::/64 a b inet6\n"


def test_no_shell_reads_the_line(tmp_path):
    """What a shell would run, expand or redirect is a word."""
    path = script(tmp_path, f'printf "%s\\n" "$@" > {tmp_path}/log; exit 1')
    command = IgnoreCommand(f"{path} ; $HOME `id` > x | * <ip>")
    assert not command.ignores(ADDRESS, 0.0)
    said = (tmp_path / "log").read_text().splitlines()
    assert said == [";", "$HOME", "`id`", ">", "x", "|", "*", "185.4.0.7"]


def test_an_answer_is_kept_for_a_while():
    """One run per address and five minutes; a clock set back asks again."""
    runs = []
    command = IgnoreCommand("x <ip>", run=lambda words, _: runs.append(words) or 1)
    for now in (100.0, 101.0, 399.0):
        assert not command.ignores(ADDRESS, now)
    assert len(runs) == 1
    command.ignores(ADDRESS, 400.0)
    command.ignores(ADDRESS, 50.0)
    assert runs == [["x", "185.4.0.7"]] * 3


def test_a_command_that_fails_spares_and_is_asked_again(tmp_path, caplog):
    """Missing, slow, or ended oddly: nobody knows, so nobody is banned, and the log says why."""
    slow = script(tmp_path, "sleep 60")
    assert IgnoreCommand(str(slow), timeout=0.2).ignores(ADDRESS, 0.0)
    odd = script(tmp_path, "exit 7")
    assert IgnoreCommand(str(odd)).ignores(ADDRESS, 0.0)
    missing = IgnoreCommand(f"{tmp_path}/none <ip>")
    assert missing.ignores(ADDRESS, 0.0)
    assert len(caplog.records) == 3
    assert "did not end within 0.2 seconds" in caplog.text
    assert run([str(tmp_path / "none")], 1.0) is None


def test_the_cache_is_bounded():
    """A flood of addresses does not grow it for ever."""
    command = IgnoreCommand("x", run=lambda *_: 1)
    for i in range(10_050):
        command.ignores(parse_address(f"185.{i >> 8}.{i & 255}.1"), 0.0)
    assert len(command._answers) == 10_000


@pytest.mark.parametrize("line", ["", "   ", "a 'b"])
def test_a_line_that_is_no_command_is_refused(line):
    """Found when the jail is read, not at the first ban."""
    with pytest.raises(ValueError, match=r".+"):
        IgnoreCommand(line)


def test_a_command_that_hangs_is_left_alone_for_a_while():
    """After three failures in a row it is not run for a minute; an answer ends the count."""
    runs, status = [], [None]
    command = IgnoreCommand("x <ip>", run=lambda words, _: runs.append(words) or status[0])
    spared = [command.ignores(parse_address(f"185.4.1.{n}"), 100.0 + n) for n in range(50)]
    assert (spared, len(runs)) == ([True] * 50, 3)
    status[0] = 1
    assert not command.ignores(ADDRESS, 163.0)
    assert not command.ignores(parse_address("185.4.2.1"), 164.0)
    assert len(runs) == 5
