"""Which date of a line counts."""

import itertools
import time

import pytest

from guard.filters.dates import DEFAULTS, Dates, patterns_of
from guard.filters.rest import STRIKES

NOW = 1757675281.0


@pytest.fixture(autouse=True)
def _utc(monkeypatch):
    """Local time is UTC here."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def cut(dates, line):
    """The date's text, and its time."""
    date = dates.find(line, NOW)
    return date and (line[date.start : date.end], date.time)


LINES = [
    ("Sep 12 11:08:01 mx postfix/smtpd[1]: x", "Sep 12 11:08:01", NOW),
    ("2025-09-12T11:08:01.440526+00:00 mx x", "2025-09-12T11:08:01.440526+00:00", NOW),
    ("2025-09-12 11:08:01 [1] H=x [192.0.2.1]", "2025-09-12 11:08:01", NOW),
    ("2025/09/12 11:08:01 x", "2025/09/12 11:08:01", NOW),
    ("[12/Sep/2025:11:08:01 +0000] x", "12/Sep/2025:11:08:01 +0000", NOW),
    ("Sep-12-25 11:08:01 x", "Sep-12-25 11:08:01", NOW),
    ("250912 11:08:01 x", "250912 11:08:01", NOW),
    ("20250912T110801Z x", "20250912T110801Z", NOW),
    ("1757675281.440 x", "1757675281.440", NOW + 0.44),
    ("<Fri Sep 12 11:08:01 2025> x", "Fri Sep 12 11:08:01 2025", NOW),
    ("@4000000068c3fed10000000a x", "@4000000068c3fed10000000a", NOW),
    ("mx: 192.0.2.1 at 2025-09-12 11:08:01 or 2024-01-01 00:00:00", "2025-09-12 11:08:01", NOW),
]  # fmt: skip


def test_the_defaults_find_what_mail_servers_write():
    """Each format, in whatever order they come."""
    for lines in (LINES, LINES[::-1]):
        dates = Dates()
        for line, text, when in lines:
            assert cut(dates, line) == (text, pytest.approx(when)), line


def test_a_line_means_the_same_after_any_other():
    """What was found before decides nothing."""
    for (first, *_), (line, text, when) in itertools.permutations(LINES, 2):
        dates = Dates()
        dates.find(first, NOW)
        assert cut(dates, line) == (text, pytest.approx(when)), (first, line)


@pytest.mark.parametrize(
    ("pattern", "line", "text"),
    [
        ("{^LN-BEG}", "x y z 2025-09-12 11:08:01", None),
        ("{^LN-BEG}", "2025-09-12 11:08:01 x", "2025-09-12 11:08:01"),
        (r"^\w+ {DATE}", "x 2025-09-12 11:08:01 y", "x 2025-09-12 11:08:01"),
        (r"^\w+ \[{DATE}\]", "x 2025-09-12 11:08:01 y", None),
        ("{DEFAULT}", "x 2025-09-12 11:08:01", "2025-09-12 11:08:01"),
        ("%d.%m.%Y\n%H:%M:%S", "at 11:08:01", "11:08:01"),
        ("%d.%m.%Y\n%H:%M:%S", "12.09.2025 11:08:01", "12.09.2025"),
        ("{NONE}", "2025-09-12 11:08:01", ""),
    ],
)
def test_patterns_of_a_filter(pattern, line, text):
    """Words for the defaults, several lines, and no date at all."""
    found = cut(Dates(pattern), line)
    assert (found and found[0]) == text


def test_no_date_is_none_and_no_pattern_is_lost():
    """Every default is there twice but for those that are anchored by themselves."""
    assert Dates().find("nothing here", NOW) is None
    assert len(patterns_of("")) == 2 * len(DEFAULTS) - 3


def test_a_date_pattern_that_runs_away_is_stopped_and_rests():
    """A filter's own pattern is a stranger's too; the next ones are still tried."""
    dates = Dates("^.*(.*)x(.*)*.*y.*%H:%M:%S$\n%Y-%m-%d")
    line = "2025-09-12 " + "x" * 3000 + "y"
    began = time.monotonic()
    for _ in range(100):
        assert cut(dates, line) == ("2025-09-12", 1757635200.0)
    assert time.monotonic() - began < 2
    assert dates.expired == STRIKES
