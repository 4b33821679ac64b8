"""What a verdict means for RCPT."""

import pytest

from guard.relay.verdict import Reports, Verdict


@pytest.mark.parametrize(
    ("verdict", "accepts"),
    [
        (Verdict(relay=True), True),
        (Verdict(relay=False), False),
        *((Verdict(relay=False, log_oob=mode), mode is not Reports.IGNORE) for mode in Reports),
        *((Verdict(relay=False, log_arf=mode), mode is not Reports.IGNORE) for mode in Reports),
        (Verdict(relay=True, failed=True), False),
        (Verdict(relay=False, log_arf=Reports.LOG, failed=True), False),
    ],
)
def test_rcpt_passes_for_mail_that_is_relayed_and_for_reports(verdict, accepts):
    """Any mode but Ignore lets RCPT pass; a verdict that failed lets nothing pass."""
    assert verdict.accepts is accepts
