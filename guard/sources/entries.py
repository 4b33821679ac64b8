"""Entries of logs that say their time beside the line: journal and syslog. Pure.

The line is composed as fail2ban's journal back end does it, `host program[pid]: message`, so that
the same filters read it. Whatever the bytes, there is a line or nothing.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import NamedTuple

import msgspec


class Entry(NamedTuple):
    """`time` is None where only the line can tell it. `cursor` is the journal's own place."""

    line: str
    time: float | None
    cursor: str = ""


class _Journal(msgspec.Struct):
    """What `journalctl -o json` prints: text, bytes as numbers, a list where a field repeats."""

    message: object = msgspec.field(name="MESSAGE", default=None)
    time: object = msgspec.field(name="__REALTIME_TIMESTAMP", default=None)
    cursor: object = msgspec.field(name="__CURSOR", default=None)
    host: object = msgspec.field(name="_HOSTNAME", default=None)
    identifier: object = msgspec.field(name="SYSLOG_IDENTIFIER", default=None)
    command: object = msgspec.field(name="_COMM", default=None)
    syslog_pid: object = msgspec.field(name="SYSLOG_PID", default=None)
    pid: object = msgspec.field(name="_PID", default=None)


_journal = msgspec.json.Decoder(_Journal)


def journal_entry(line: bytes) -> Entry:
    """An entry of the journal. Raises ValueError when `line` is none."""
    try:
        found = _journal.decode(line)
        seconds = int(_text(found.time)) / 1e6
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise ValueError(f"not a journal entry: {error}") from None
    program = _text(found.identifier) or _text(found.command)
    pid = _text(found.syslog_pid) or _text(found.pid)
    text = _composed(_text(found.host), program, pid, _text(found.message))
    return Entry(text, seconds, _text(found.cursor))


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        if all(isinstance(item, int) and 0 <= item < 256 for item in value):
            return bytes(value).decode("utf-8", "replace")
        return " ".join(_text(item) for item in value)
    return ""


def _composed(host: str, program: str, pid: str, message: str) -> str:
    tag = f"{program}[{pid}]:" if program and pid else f"{program}:" if program else ""
    text = " ".join(part for part in (host, tag, message) if part)
    # A line is one line: what a peer wrote must not begin another.
    return text.replace("\n", "\\n")


# RFC 5424, section 6: <PRI>VERSION TIMESTAMP HOSTNAME APP-NAME PROCID MSGID SD [MSG]
_HEAD = re.compile(r"<\d{1,3}>1 (\S{1,64}) (\S{1,255}) (\S{1,48}) (\S{1,128}) (\S{1,32}) ")
_SD = re.compile(r'(?:-|(?:\[(?:[^"\]\\]|\\.|"(?:[^"\\]|\\.)*")*\])+)(?: |$)', re.DOTALL)
_PRI = re.compile(r"<\d{1,3}>")


def syslog_entry(data: bytes) -> Entry:
    """A syslog message of RFC 5424, or of the older kind (RFC 3164), whose date is in its line."""
    text = data.decode("utf-8", "replace").rstrip("\r\n\0")
    head = _HEAD.match(text)
    data_at = _SD.match(text, head.end()) if head else None
    if head is None or data_at is None:
        return Entry(_PRI.sub("", text, count=1).replace("\n", "\\n"), None)
    stamp, host, program, pid = ("" if part == "-" else part for part in head.groups()[:4])
    message = text[data_at.end() :].removeprefix("\ufeff")
    return Entry(_composed(host, program, pid, message), _moment(stamp))


def _moment(stamp: str) -> float | None:
    try:
        moment = datetime.fromisoformat(stamp)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo else None
