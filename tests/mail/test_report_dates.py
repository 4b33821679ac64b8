"""Dates of mail headers, in the forms that the world's reports have."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.lib.timestamps import rfc3339, rfc5322
from guard.mail.dates import parse_date


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Thu, 7 Jul 1994 17:15:49 -0400", "1994-07-07T21:15:49Z"),
        ("Wed, 29 Jan 2025 17:36:51 +0100 (CET)", "2025-01-29T16:36:51Z"),
        ("Thu, 02 Jul 26 18:55:38 UTC", "2026-07-02T18:55:38Z"),
        ("2 Jul 49 18:55 GMT", "2049-07-02T18:55:00Z"),
        ("2 Jul 50 18:55 GMT", "1950-07-02T18:55:00Z"),
        ("2 Jul 099 18:55 GMT", "1999-07-02T18:55:00Z"),
        ("Tue, 8 Mar 2005 14:00:00 EDT", "2005-03-08T18:00:00Z"),
        ("tue,\t8  mar 2005 14:00:00 (a (nested) comment) Z", "2005-03-08T14:00:00Z"),
        ("31 Dec 2016 23:59:60 +0000", "2017-01-01T00:00:00Z"),
        ("1 Jan 2025 00:00:00 XYZ", "2025-01-01T00:00:00Z"),
    ],
)
def test_dates_that_are(text: str, expected: str):
    """RFC 5322 4.3's obsolete forms count."""
    seconds = parse_date(text)
    assert seconds is not None
    assert rfc3339(seconds) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not a date",
        "Thu, 8 Mar 2005 14:00:00 EDT",  # it was a Tuesday
        "Foo, 8 Mar 2005 14:00:00 EDT",
        "30 Feb 2025 00:00:00 +0000",
        "1 Jan 2025 24:00:00 +0000",
        "1 Jan 2025 00:60:00 +0000",
        "1 Jan 2025 00:00:00",
        "1 Jan 0000 00:00:00 +0000",
        "1 Jan 2025 00:00:00 +0000 trailing",
        "(" * 100_000,
    ],
)
def test_dates_that_are_not(text: str):
    """A weekday that contradicts makes it wrong too, as in KumoMTA."""
    assert parse_date(text) is None


@given(st.integers(-2_000_000_000, 60_000_000_000))
@settings(deadline=None)
def test_what_we_write_we_read(seconds: int):
    """A date that Guard writes into a header is read back to the second."""
    assert parse_date(rfc5322(seconds)) == seconds


@given(st.text())
@settings(deadline=None)
def test_any_text_is_a_date_or_not(text: str):
    """Nothing is raised."""
    parse_date(text)
