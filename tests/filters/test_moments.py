"""Which moment a date names that leaves something out."""

import time
from datetime import UTC, timedelta, timezone

from guard.filters.datepattern import compile_pattern

NOW = 1757675281.0  # Fri 12 Sep 2025 11:08:01 UTC


def find(pattern, line, now=NOW, zone=UTC):
    """What is cut out of the line, and the moment."""
    compiled = compile_pattern(pattern)
    found = compiled.find(line)
    return found and (found[1], compiled.moment(found, now, zone))


def test_a_date_without_a_year_is_of_this_year_or_the_last():
    """More than a day ahead means last year; a time alone that is ahead means yesterday."""
    year = 365 * 86400
    assert find("%b %d %H:%M:%S", "Sep 13 11:08:01") == ("Sep 13 11:08:01", NOW + 86400)
    assert find("%b %d %H:%M:%S", "Sep 13 11:08:02")[1] == NOW + 86401 - year
    assert find("%H:%M:%S", "11:08:02")[1] == NOW + 1 - 86400
    new_year = 1735689600.0  # 2025-01-01 00:00:00 UTC
    assert find("%b %d %H:%M:%S", "Dec 31 23:59:59", new_year)[1] == new_year - 1
    leap_day = 1709164800.0 + 365 * 86400
    assert find("%b %d %H:%M:%S", "Feb 29 00:00:00", leap_day)[1] is None


def test_a_date_without_a_zone_is_local_or_as_told(monkeypatch):
    """The process's own zone, with summer time; a zone in the line goes before both."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    try:
        assert find("%Y-%m-%d %H:%M:%S", "2025-09-12 13:08:01", zone=None)[1] == NOW
        india = timezone(timedelta(hours=5.5))
        assert find("%Y-%m-%d %H:%M:%S", "2025-09-12 16:38:01", zone=india)[1] == NOW
        assert find("%Y-%m-%d %H:%M:%S%z", "2025-09-12 11:08:01Z", zone=None)[1] == NOW
    finally:
        monkeypatch.undo()
        time.tzset()
