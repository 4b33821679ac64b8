"""The operator's log cannot be forged by a peer."""

import logging

import pytest

from guard.lib.logs import OneLine, printable, set_up


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


def test_the_libraries_do_not_repeat_what_peers_say(capsys):
    """aiosmtpd's loggers are quiet, ours are not, also when asked for more."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        set_up(verbose=True, journal=False)
        logging.getLogger("mail.log").info("a command")
        logging.getLogger("mail.debug").warning("a PROXY header")
        logging.getLogger("urllib3.connectionpool").debug("POST /secret")
        logging.getLogger("watchdog.observers").debug("the log grew")
        logging.getLogger("watchdog.observers").error("the log grew while nobody looks any more")
        logging.getLogger("guard.smtp").debug("ours")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    assert [line.split(" ", 2)[2] for line in capsys.readouterr().err.splitlines()] == [
        "debug guard.smtp: ours"
    ]
