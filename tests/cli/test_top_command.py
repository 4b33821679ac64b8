"""`guard top`: rates from two looks, the newest bans, and one look where nobody watches."""

import json
import subprocess
import sys

import pytest
from service import PROJECT, Service, dialogue, guard
from support import free_port

from guard.cli.top import Moved, moved, numbers

STATUS = {
    "firewall": "dry-run",
    "bans": 3,
    "paused": True,
    "rejections": {"relay_denied": 10, "scanner": 4},
    "kernel": {"expected": 3},
    "source": [{"name": "listener", "heard": 14, "oldest": 5, "error": ""}],
}


def test_numbers_have_names():
    """Rows are named by their name; what says a state, a text or a yes is no number of events."""
    assert dict(numbers(STATUS)) == {
        "bans": 3,
        "rejections relay_denied": 10,
        "rejections scanner": 4,
        "source listener heard": 14,
    }


def test_what_grew_has_a_rate_fastest_first():
    """Growth by the seconds between; what is new grew from nothing, what fell or stayed is out."""
    after = {
        "bans": 2,
        "rejections": {"relay_denied": 30, "scanner": 4, "auth_failed": 1},
        "source": [{"name": "listener", "heard": 64}],
    }
    assert moved(STATUS, after, 2.0) == [
        Moved("source listener heard", 64, 25.0),
        Moved("rejections relay_denied", 30, 10.0),
        Moved("rejections auth_failed", 1, 0.5),
    ]


@pytest.fixture
def service(tmp_path):
    """A daemon with a listener at `port`."""
    config = tmp_path / "guard.toml"
    port = free_port()
    config.write_text(
        f'[state]\ndir = "state"\n[[listener]]\nlisten = "127.0.0.1:{port}"\n'
        'relay_hosts = ["198.51.100.0/24"]\n'
        "[protect]\nreserved = false\nown = false\n"
    )
    running = Service("up", config)
    running.start()
    yield running, port
    running.stop()


def test_a_running_daemon_is_watched(service):
    """Rejections between two looks have a rate, and the newest ban stands first."""
    running, port = service
    running.ask("ban", "192.0.2.1")
    running.ask("ban", "192.0.2.2")
    with subprocess.Popen(
        [sys.executable, "-m", "guard", "top", "--json", "--every", "500ms", "--looks", "6",
         "-c", str(running.config)],
        stdout=subprocess.PIPE, text=True, cwd=PROJECT,
    ) as watching:  # fmt: skip
        looks = []
        for line in watching.stdout:
            looks.append(json.loads(line))
            dialogue(
                ("127.0.0.1", port), "EHLO x", "MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>"
            )
    assert watching.returncode == 0
    assert [row["network"] for row in looks[0]["newest"]] == ["192.0.2.2", "192.0.2.1"]
    assert {look["bans"] for look in looks[:1]} == {2}
    assert any(look["rates"].get("rejections relay_denied", 0) > 0 for look in looks[1:])


def test_into_a_pipe_it_is_one_look(service):
    """No terminal: one plain look, and the command ends."""
    running, _ = service
    running.ask("ban", "192.0.2.1", "--reason", "told [bold]so")
    done = guard("top", "--every", "100ms", "-c", str(running.config))
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert done.stdout.count("NEWEST BANS") == 1
    assert "told [bold]so" in done.stdout


@pytest.mark.parametrize("every", ["never", "0s", "soon"])
def test_a_time_that_makes_no_sense_is_a_usage_error(every):
    """Exit code 64, with the option's name."""
    done = guard("top", "--every", every)
    assert done.returncode == 64
    assert "--every" in done.stderr


def test_without_a_daemon_there_is_nothing_to_watch(tmp_path):
    """Exit code 69, as for `guard status`."""
    config = tmp_path / "guard.toml"
    config.write_text('[state]\ndir = "state"\n')
    done = guard("top", "-c", str(config))
    assert done.returncode == 69
    assert "Traceback" not in done.stderr
