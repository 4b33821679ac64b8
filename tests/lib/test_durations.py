"""Lengths of time are read as fail2ban reads them, and shown short."""

import pytest
from support import need

from guard.lib.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (600, 600),
        ("600", 600),
        ("10m", 600),
        ("1d12h", 129600),
        ("1d 12h", 129600),
        ("1w", 604800),
        ("1mo", 2629800),
        ("1y", 31557600),
        ("0.5h", 1800),
        ("1H", 3600),
        ("3 hours 5 min", 11100),
        ("0s", 0),
        (-1, -1),
        ("-1", -1),
    ],
)
def test_reads_what_fail2ban_reads(text, seconds):
    """Every abbreviation of jail.conf(5) has its length; -1 stays, for ever."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "x", "10q", "m", "-5", "1d-", True, None, [], "1e9", "9" * 400]
)
def test_refuses_what_is_no_length(text):
    """Anything else is a ValueError that shows what was read."""
    with pytest.raises(ValueError, match="not a length of time"):
        parse_duration(text)


def test_agrees_with_the_real_fail2ban():
    """fail2ban's own converter, where it is installed, gives the same seconds."""
    import shutil
    import subprocess

    need(bool(shutil.which("fail2ban-client")), "fail2ban")
    for text in ("10m", "1d12h", "1w", "1mo", "1y6mo", "90", "3h 5m"):
        done = subprocess.run(
            ["fail2ban-client", "--str2sec", text], capture_output=True, text=True, timeout=60
        )
        assert float(done.stdout.split()[-1]) == pytest.approx(parse_duration(text), abs=1)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "for ever"), (0, "0s"), (59.9, "59s"), (3600, "1h"), (93784, "1d2h"), (-5, "0s")],
)
def test_shows_two_units(seconds, text):
    """The two largest units say enough."""
    assert format_duration(seconds) == text
