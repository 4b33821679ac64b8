"""Time zones as logs write them."""

from datetime import timedelta

import pytest

from guard.filters.zones import offset_of


@pytest.mark.parametrize(
    ("text", "hours"),
    [("Z", 0), ("UTC", 0), ("+0200", 2), ("-05:30", -5.5), ("+01", 1), ("CEST", 2), ("cet", 1),
     ("CET+0100", 2), ("NPT", 5.75), ("PDT", -7)],
)  # fmt: skip
def test_zones(text, hours):
    """Offsets, abbreviations, and both together."""
    assert offset_of(text).utcoffset(None) == timedelta(hours=hours)


@pytest.mark.parametrize("text", ["", "error", "+", "0200", "+99:99x", "QQQ", "+9900"])
def test_what_is_no_zone_is_refused(text):
    """A word that looks like a zone is not taken for one."""
    with pytest.raises(ValueError, match="."):  # noqa: RUF043
        offset_of(text)
