"""Lists as text: every form, any bytes."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from guard.feeds.recipe import BadFeed, Listed
from guard.feeds.text import looks_like_html, parse_columns, parse_json, parse_lines
from guard.lib.networks import Network


def texts(listed):
    return [str(network) for network in listed.networks]


def test_every_form_of_a_line_is_read():
    """Addresses, blocks, ranges, comments of three kinds, columns, BOM, CRLF, blanks."""
    data = (
        b"\xef\xbb\xbf# (c) 2026 Somebody\r\n"
        b"185.4.0.1\r\n"
        b"  185.5.0.0/16   # a block\r\n"
        b"185.6.0.0/16 ; SBL1\r\n"
        b"185.7.0.1 // note\r\n"
        b"185.8.0.0-185.8.0.3\r\n"
        b"185.9.0.0 - 185.9.0.1 twenty\r\n"
        b"185.10.0.1\t7\r\n"
        b"185.11.0.1, further\r\n"
        b"2A03:0::1\r\n"
        b"\r\n"
        b"2a04::/32"
    )
    listed = parse_lines(data)
    assert texts(listed) == [
        *("185.4.0.1", "185.5.0.0/16", "185.6.0.0/16", "185.7.0.1", "185.8.0.0/30"),
        *("185.9.0.0/31", "185.10.0.1", "185.11.0.1", "2a03::1", "2a04::/32"),
    ]
    assert listed.bad == 0
    assert listed.notice == "(c) 2026 Somebody"


def test_what_cannot_be_read_is_counted_not_guessed():
    """Host bits, leading zeros, names, ports: each is one, and the first is shown escaped."""
    listed = parse_lines(
        b"\x1b[31mx\n185.4.0.1/16\n185.04.0.1\nhost.example\n185.4.0.1:25\n1.2.3\n"
    )
    assert (listed.networks, listed.bad) == ([], 6)
    assert listed.sample == "\\x1b[31mx"


def test_utf16_is_text_too():
    """As an editor on Windows may save it."""
    assert texts(parse_lines("185.4.0.1\r\n".encode("utf-16"))) == ["185.4.0.1"]


def test_a_level_asks_for_a_count():
    """Entries of fewer lists, or without a number, are left out and not faults."""
    data = b"185.4.0.1\t3\n185.4.0.2\t2\n185.4.0.3\n185.4.0.4\tx\n185.4.0.5 10\n"
    listed = parse_lines(data, level=3)
    assert texts(listed) == ["185.4.0.1", "185.4.0.5"]
    assert listed.bad == 0


def test_a_column_of_csv():
    """By name in any case, or by number; quotes as CSV has them."""
    data = b'# list\nDate,IP,Note\n2026-01-01,185.4.0.1,"a, b"\n2026-01-02," 185.4.0.0/24",\nx\n'
    assert texts(parse_columns(data, "ip")) == ["185.4.0.1", "185.4.0.0/24"]
    assert texts(parse_columns(b"x,185.4.0.1\ny,185.4.0.2\n", "2")) == ["185.4.0.1", "185.4.0.2"]
    with pytest.raises(BadFeed, match="no column"):
        parse_columns(data, "address")


def test_places_in_json():
    """Lists on the way are gone through; one document a line works too."""
    data = b'{"prefixes":[{"ipv4Prefix":"185.4.0.0/24"},{"ipv6Prefix":"2a03::/32"},{"x":1}]}'
    paths = ["prefixes.ipv4Prefix", "prefixes.ipv6Prefix"]
    assert texts(parse_json(data, paths)) == ["185.4.0.0/24", "2a03::/32"]
    lines = b'{"ip":"185.4.0.1"}\n\n{"ip":"185.4.0.2"}\n{"ip":5}\n'
    assert texts(parse_json(lines, ["ip"])) == ["185.4.0.1", "185.4.0.2"]
    assert texts(parse_json(b'["185.4.0.1"]', [""])) == []
    with pytest.raises(BadFeed, match="not JSON"):
        parse_json(b"<html>", ["ip"])
    with pytest.raises(BadFeed, match="not JSON"):
        parse_json(b"[" * 100_000, ["ip"])


def test_pages_for_people_are_told_from_lists():
    """By how they begin, in any case, after a BOM and blanks."""
    for page in (b"<!doctype HTML>", b"\xef\xbb\xbf\n<html>", b"  <?xml", b"<BODY>"):
        assert looks_like_html(page)
    assert not looks_like_html(b"# <html>\n185.4.0.1\n")


@given(st.binary(max_size=300))
@example(b"\xff\xfe\x00")
@example(b"185.4.0.1\x00\n")
@settings(max_examples=400, deadline=None)
def test_any_bytes_are_a_list_or_refused(data):
    """Every parser: networks that are well formed, or BadFeed; nothing else comes out."""
    for parse in (
        parse_lines,
        lambda d: parse_lines(d, level=2),
        lambda d: parse_columns(d, "1"),
        lambda d: parse_columns(d, "ip"),
        lambda d: parse_json(d, ["a.b", "ip"]),
    ):
        try:
            listed = parse(data)
        except BadFeed:
            continue
        assert isinstance(listed, Listed)
        for network in listed.networks:
            assert isinstance(network, Network)
            assert network.value <= network.last < 1 << network.bits
        assert listed.sample.isascii()
