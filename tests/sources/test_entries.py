"""Journal and syslog entries become one line and a time, whatever the bytes."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.sources.entries import Entry, journal_entry, syslog_entry


def entry(**fields: object) -> bytes:
    """A line of `journalctl -o json`."""
    made = {"__REALTIME_TIMESTAMP": "1757675281440526", "__CURSOR": "s=1;i=2", **fields}
    return json.dumps(made).encode()


def test_a_line_as_fail2ban_composes_it():
    """Host, program with its number, message; the time is the journal's."""
    line = entry(
        MESSAGE="refused 192.0.2.1",
        _HOSTNAME="mx",
        SYSLOG_IDENTIFIER="exim4",
        _PID="4711",
        _COMM="x",
    )
    assert journal_entry(line) == Entry(
        "mx exim4[4711]: refused 192.0.2.1", 1757675281.440526, "s=1;i=2"
    )


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"MESSAGE": "x", "_COMM": "python3"}, "python3: x"),
        ({"MESSAGE": "x", "SYSLOG_IDENTIFIER": "a", "SYSLOG_PID": "7", "_PID": "8"}, "a[7]: x"),
        ({"MESSAGE": [114, 195, 188, 255]}, "r\u00fc\ufffd"),
        ({"MESSAGE": ["one", "two"]}, "one two"),
        ({"MESSAGE": None, "_HOSTNAME": "mx"}, "mx"),
        ({"MESSAGE": "one\nrefused 192.0.2.9"}, "one\\nrefused 192.0.2.9"),
        ({}, ""),
    ],
)
def test_fields_of_every_shape(fields, text):
    """Bytes that are no UTF-8, repeated and missing fields, and line ends in a message."""
    assert journal_entry(entry(**fields)).line == text


@pytest.mark.parametrize("line", [b"", b"x", b"[]", b"{}", b'{"__REALTIME_TIMESTAMP":"soon"}'])
def test_what_is_no_entry_is_refused(line):
    """Anything else raises ValueError."""
    with pytest.raises(ValueError, match="not a journal entry"):
        journal_entry(line)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            '<165>1 2025-09-12T11:08:01.25Z mx exim 4711 ID47 [a@1 b="] \\" x"][c] \ufeffrefused x',
            Entry("mx exim[4711]: refused x", 1757675281.25),
        ),
        ("<0>1 - - - - - - message", Entry("message", None)),
        ("<34>1 2025-09-12T13:08:01+02:00 mx exim - - -", Entry("mx exim:", 1757675281.0)),
        ("<34>Sep 12 11:08:01 mx exim[4]: x\n", Entry("Sep 12 11:08:01 mx exim[4]: x", None)),
        ("no priority at all\0", Entry("no priority at all", None)),
        ("<34>1 broken", Entry("1 broken", None)),
        ("<13>a\nb", Entry("a\\nb", None)),
    ],
)
def test_syslog_of_both_kinds(message, expected):
    """RFC 5424 tells the time; of RFC 3164 the date stays in the line."""
    assert syslog_entry(message.encode()) == expected


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200), st.sampled_from([b"", b"<1>1 - - - - - [", b"<1>"]))
def test_any_bytes_are_one_line(data, head):
    """No bytes raise, and none make a second line."""
    assert "\n" not in syslog_entry(head + data).line
    try:
        assert "\n" not in journal_entry(data).line
    except ValueError:
        return
