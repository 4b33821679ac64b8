"""Tables: the same through a pipe as on a terminal that is wide enough."""

import subprocess
import sys

from guard.cli.tables import PAGES, show_table

TITLES = ("NETWORK", "ENDS IN", "REASON")
ROWS = [
    ("192.0.2.1", "never", "für \x1b[31mimmer"),
    ("2001:db8:0:1::/64", "", "漢字 [bold]x[/bold]"),
    ("10.0.0.0/8", "59m", ""),
]
SHOWN = """\
NETWORK            ENDS IN  REASON
192.0.2.1          never    für \\x1b[31mimmer
2001:db8:0:1::/64           漢字 [bold]x[/bold]
10.0.0.0/8         59m
"""


def test_a_pipe_and_a_terminal_get_the_same(capsys, monkeypatch):
    """Whatever is in the cells; nothing of it is markup, or reaches the terminal unescaped."""
    show_table(TITLES, ROWS)
    assert capsys.readouterr().out == SHOWN
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "dumb")
    show_table(TITLES, ROWS)
    assert capsys.readouterr().out == SHOWN
    show_table(TITLES, ROWS * PAGES)
    assert len(capsys.readouterr().out.splitlines()) == 1 + 3 * PAGES


def test_a_pipe_does_not_wait_for_a_library():
    """What draws tables takes longer to load than all else that `guard bans` needs."""
    code = "import sys; from guard.cli.tables import show_table; show_table(('A',), [('x',)])"
    command = [sys.executable, "-c", f"{code}; sys.exit('rich' in sys.modules)"]
    assert subprocess.run(command, capture_output=True).returncode == 0


def test_no_rows(capsys):
    """The titles alone."""
    show_table(TITLES, [])
    assert capsys.readouterr().out == "NETWORK  ENDS IN  REASON\n"
