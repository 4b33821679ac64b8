"""A bar for whoever looks, and nothing in files or for what is soon done."""

import sys

import pytest

from guard.cli.progress import LONG, progress


@pytest.mark.parametrize(("total", "terminal"), [(LONG, False), (LONG - 1, True)])
def test_nothing_where_nobody_looks(total, terminal, capsys, monkeypatch):
    """Not into a pipe, and not for a moment's work."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    with progress("working", total) as advance:
        advance(total)
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal(capsys, monkeypatch):
    """On standard error; the output stays what it is."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress("working", 2 * LONG) as advance:
        advance(LONG)
        print("output")
    said = capsys.readouterr()
    assert said.out == "output\n"
    assert "working" in said.err
    assert f"/{2 * LONG}" in said.err
