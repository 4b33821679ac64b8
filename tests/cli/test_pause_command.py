"""`guard pause`, `resume`, and what bans and explain say of the protected: without a daemon."""

import json

import pytest
from click.testing import CliRunner

from guard.cli.main import cli, run


@pytest.fixture
def guard(tmp_path):
    """Runs a command with a state of its own: (exit code, output)."""
    config = tmp_path / "guard.toml"
    config.write_text(
        f'[state]\ndir = "{tmp_path}/state"\n[protect]\nallow = ["185.4.0.7"]\nrefresh = 0\n'
    )

    def call(*words):
        result = CliRunner().invoke(cli, [*words, "-c", str(config)])
        return result.exit_code, result.stdout

    call.config = config
    return call


def test_a_pause_is_said_and_ends(guard):
    """explain knows of it; resume ends it, and is "no" when there is none."""
    assert guard("ban", "185.5.0.7")[0] == 0
    assert guard("explain", "185.5.0.7")[0] == 0
    assert "for 10m" in guard("pause", "10m")[1]
    code, text = guard("explain", "185.5.0.7")
    assert code == 1
    assert "paused, nobody is blocked here" in text
    assert guard("resume") == (0, "enforcement goes on\n")
    assert guard("explain", "185.5.0.7")[0] == 0
    assert guard("resume")[0] == 1
    assert json.loads(guard("pause", "--json")[1]) == {"seconds": None}
    assert "for ever" in guard("explain", "185.5.0.7")[1]


@pytest.mark.parametrize("length", ["0", "-1", "soon"])
def test_a_pause_of_no_length_is_refused(guard, length):
    """65, and nothing is paused."""
    assert run(["pause", "-c", str(guard.config), "--", length]) == 65
    assert guard("resume")[0] == 1


def test_a_ban_is_carved_or_refused_and_says_so(guard):
    """The neighbours of an allowed address are blocked, he is not; he alone cannot be banned."""
    code, text = guard("ban", "185.4.0.0/24")
    assert code == 0
    assert "carved into 8 blocks" in text
    assert guard("explain", "185.4.0.8")[0] == 0
    code, text = guard("explain", "185.4.0.7")
    assert code == 1
    assert "protected: allow 185.4.0.7" in text
    assert "185.4.0.0/24 covers somebody protected" in text
    assert run(["ban", "185.4.0.7", "-c", str(guard.config)]) == 65
    assert run(["ban", "10.0.0.0/8", "-c", str(guard.config)]) == 65
    row = json.loads(guard("ban", "185.4.0.0/29", "--json")[1])
    assert row["blocks"] == ["185.4.0.0/30", "185.4.0.4/31", "185.4.0.6"]


def test_allow_lets_in_and_disallow_ends_that(guard):
    """Whoever banned; bans of who is allowed are refused; the list shows it with its reason."""
    assert guard("ban", "185.6.0.0/24")[0] == 0
    code, text = guard("allow", "185.6.0.7", "--for", "1h", "--reason", "a customer")
    assert code == 0
    assert text == "allowed 185.6.0.7 for 1h\n  without effect there: 185.6.0.0/24 manual\n"
    code, text = guard("explain", "185.6.0.7")
    assert code == 1
    assert "protected: allowed by hand: a customer" in text
    assert guard("explain", "185.6.0.8")[0] == 0
    assert run(["ban", "185.6.0.7", "-c", str(guard.config)]) == 65
    assert "allowed by hand: a customer" in guard("protect", "list")[1]
    assert json.loads(guard("disallow", "185.6.0.7", "--json")[1])["ended"]
    assert guard("explain", "185.6.0.7")[0] == 0
    assert guard("disallow", "185.6.0.7")[0] == 1
    assert json.loads(guard("allow", "185.6.0.9", "--json")[1])["until"] is None
    assert run(["allow", "nonsense", "-c", str(guard.config)]) == 65
    assert run(["allow", "185.6.0.1", "--for", "soon", "-c", str(guard.config)]) == 65
