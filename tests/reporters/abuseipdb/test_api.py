"""Files of reports are what AbuseIPDB reads."""

import csv
import io

from hypothesis import given, settings
from hypothesis import strategies as st

from guard.reporters.abuseipdb.api import MOST_BYTES, Line, table


def line(number, comment="5 refused requests, within 10m"):
    return Line(f"185.4.0.{number}", "11,18", "2025-09-12T12:00:00+00:00", comment)


def test_a_file_has_the_documented_columns():
    """Quoted where there is a comma; read back it is what went in."""
    data, rows = table([line(1), line(2)])
    assert rows == 2
    assert data.decode().splitlines()[:2] == [
        "IP,Categories,ReportDate,Comment",
        '185.4.0.1,"11,18",2025-09-12T12:00:00+00:00,"5 refused requests, within 10m"',
    ]


def test_a_file_is_bounded_in_lines_and_bytes():
    """What has no room is left for the next."""
    data, rows = table([line(1)] * 10_005)
    assert (rows, data.count(b"\n")) == (10_000, 10_001)
    data, rows = table([line(1, "x" * 1000)] * 3000)
    assert len(data) <= MOST_BYTES
    assert rows == data.count(b"\n") - 1 < 3000
    assert table([]) == (b"IP,Categories,ReportDate,Comment\n", 0)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=126)), max_size=20))
def test_any_comment_comes_back(comments):
    """Whatever is in it, quotes and commas too."""
    data, rows = table([line(1, text) for text in comments])
    read = list(csv.reader(io.StringIO(data.decode())))
    assert [row[3] for row in read[1:]] == comments
    assert rows == len(comments)
