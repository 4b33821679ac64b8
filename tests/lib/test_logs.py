"""The operator's log cannot be forged by a peer."""

import logging

import pytest

from guard.lib.logs import OneLine, printable


@pytest.mark.parametrize(
    "text", ["a\nb", "a\r\nb", "\x1b[2J", "\u2028", "\x85", "\x00", "\ud800", "é", "\x7f"]
)
def test_printable_is_one_line_of_ascii(text):
    """Whatever could end a line, move a cursor or hide, is escaped."""
    shown = printable(f"x{text}y")
    assert shown.isascii()
    assert shown.isprintable()
    assert shown.startswith("x")


def test_format_escapes_message_and_traceback():
    """A message with a newline stays one line, and a traceback's lines are indented."""
    try:
        raise ValueError("evil\n2026-01-01 00:00:00 error forged")
    except ValueError:
        import sys

        record = logging.LogRecord(
            "guard.x", logging.ERROR, "f", 1, "peer said %s", ("a\nb",), sys.exc_info()
        )
    lines = OneLine(journal=True).format(record).split("\n")
    assert lines[0] == "<3>guard.x: peer said a\\nb"
    assert len(lines) > 1
    assert all(line.startswith("    ") for line in lines[1:])
