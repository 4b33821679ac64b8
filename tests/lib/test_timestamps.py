"""Moments as text."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.lib.timestamps import rfc3339, rfc5322


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1757675281.440526, "2025-09-12T11:08:01.440526Z"),
        (1757675281.9999999, "2025-09-12T11:08:02Z"),
        (1757675281.000001, "2025-09-12T11:08:01.000001Z"),
    ],
)
def test_rfc3339(seconds: float, expected: str):
    """Microseconds where there are any; rounding carries."""
    assert rfc3339(seconds) == expected


@given(st.integers(0, 4_000_000_000))
@settings(deadline=None)
def test_both_agree_with_the_library(seconds: int):
    """What Python's own readers make of it is the moment again."""
    moment = datetime.fromtimestamp(seconds, UTC)
    assert datetime.fromisoformat(rfc3339(seconds)) == moment
    assert parsedate_to_datetime(rfc5322(seconds)) == moment
