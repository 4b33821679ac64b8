"""What becomes of a report (guard/relay/reports.py)."""

import pytest

from guard.relay.reports import Report, wanted
from guard.relay.verdict import Reports, Verdict


@pytest.mark.parametrize(
    ("mode", "if_relayed", "if_not"),
    [
        (None, True, False),
        (Reports.LOG, True, False),
        (Reports.LOG_THEN_DROP, False, False),
        (Reports.LOG_THEN_RELAY, True, True),
    ],
)
def test_modes(mode: Reports | None, if_relayed: bool, if_not: bool):
    """Only LogThenRelay relays what may not be relayed; only LogThenDrop drops what may."""
    report = Report(mode) if mode else None
    assert wanted(Verdict(relay=True), report) is if_relayed
    assert wanted(Verdict(relay=False), report) is if_not
