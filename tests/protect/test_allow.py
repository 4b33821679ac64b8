"""The forms of `[protect] allow`."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.lib.networks import parse_network
from guard.protect.allow import Allowed, fixed, parse_allowed, parse_lines


def test_every_form_is_read():
    """Networks, ranges, names and suffixes, told apart by how they look."""
    net = parse_network
    assert parse_allowed("192.0.2.1").networks == (net("192.0.2.1"),)
    assert parse_allowed("2001:db8::/32").networks == (net("2001:db8::/32"),)
    assert parse_allowed("192.0.2.0-192.0.2.2").networks == (net("192.0.2.0/31"), net("192.0.2.2"))
    assert parse_allowed("Office.Example.com.") == Allowed(
        "Office.Example.com.", name="office.example.com"
    )
    assert parse_allowed(".example.com").suffix == ".example.com"
    assert parse_allowed("my-host.example-x.com").name == "my-host.example-x.com"
    assert parse_allowed("localhost").name == "localhost"


@pytest.mark.parametrize(
    "value",
    [
        1,
        None,
        "",
        ".",
        ".com",
        "..a.b",
        "a..b",
        "192.0.2.256",
        "192.0.2.1/24",
        "1.2.3",
        "-a.b",
        "192.0.2.9-192.0.2.1",
        "host/24",
        "exämple.com",
        "a" * 64 + ".com",
        "1234",
        "a.b,c.d",
    ],
)
def test_what_is_none_is_refused(value):
    """Mistyped addresses never become names that somebody could register."""
    with pytest.raises(ValueError, match=r".+"):
        parse_allowed(value)


@given(st.text(max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_text_is_an_entry_or_refused(text):
    """Nothing but ValueError comes out of any text, alone or as a file."""
    try:
        entry = parse_allowed(text)
    except ValueError:
        pass
    else:
        assert [bool(entry.networks), bool(entry.name), bool(entry.suffix)].count(True) == 1
    assert all(isinstance(e, (Allowed, ValueError)) for _, e in parse_lines(text))


def test_files_have_comments_and_faults_have_line_numbers():
    """BOM, CRLF, comments and blank lines are as editors leave them."""
    text = "\ufeff# office\r\n192.0.2.1 # me\r\n\r\nbad/9\r\n.example.com ; all\r\n"
    lines = dict(parse_lines(text))
    assert lines[2].networks == (parse_network("192.0.2.1"),)
    assert isinstance(lines[4], ValueError)
    assert lines[5].suffix == ".example.com"
    assert len(lines) == 3


def test_fixed_entries_say_what_the_operator_wrote():
    """The reason is the entry's own text."""
    entries = [parse_allowed("192.0.2.0-192.0.2.2"), parse_allowed("a.example")]
    assert fixed(entries) == [
        (parse_network("192.0.2.0/31"), "allow 192.0.2.0-192.0.2.2"),
        (parse_network("192.0.2.2"), "allow 192.0.2.0-192.0.2.2"),
    ]
