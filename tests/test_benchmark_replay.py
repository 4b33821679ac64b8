"""The comparison of `guard replay` with fail2ban: both run, and both ban the same."""

import pytest

from benchmarks import replay


@pytest.mark.fail2ban
def test_both_read_the_log_and_ban_the_same(monkeypatch, capsys):
    """A short day, five jails and one alone; exit status 0 says that the bans agree."""
    monkeypatch.setattr("sys.argv", ["replay", "--records", "3000"])
    assert replay.main() == 0
    said = capsys.readouterr().out
    assert said.count("fail2ban-server") == 2
    assert said.count(" bans, the same") == 2
    assert " 0 bans" not in said
