"""What AbuseIPDB's answers mean, by text where the status is ambiguous."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.lib.secrets import Secret
from guard.lib.webcall import Answer
from guard.reporters.abuseipdb.answers import Meaning, cleared, details, judge, sort

KEY = Secret("c0ffee00c0ffee00")
NOON = 1_757_678_400.0
DAILY = (
    "Daily rate limit of 1000 requests exceeded for this endpoint. "
    "See headers for additional details."
)
TWICE = "You can only report the same IP address (`185.4.0.7`) once in 15 minutes."


def answer(status, detail=None, **headers):
    body = b"<html>Oops</html>" if status != 200 else b'{"data": {"ipAddress": "185.4.0.7"}}'
    if detail is not None:
        body = json.dumps({"errors": [{"detail": detail, "status": status}]}).encode()
    return Answer(status, {name.replace("_", "-"): v for name, v in headers.items()}, body)


@pytest.mark.parametrize(
    ("given", "meaning", "wait"),
    [
        (answer(200), Meaning.TAKEN, 0),
        (answer(429, TWICE), Meaning.DUPLICATE, 0),
        (answer(403, TWICE), Meaning.DUPLICATE, 0),
        (answer(422, TWICE, retry_after="900"), Meaning.DUPLICATE, 900),
        (answer(429, DAILY), Meaning.SPENT, 43200),
        (answer(429, DAILY, x_ratelimit_reset=str(int(NOON) + 60)), Meaning.SPENT, 60),
        (answer(429, DAILY, x_ratelimit_reset="99999999999"), Meaning.SPENT, 43200),
        (answer(429, DAILY, retry_after="29241"), Meaning.SPENT, 29241),
        (answer(403, DAILY), Meaning.SPENT, 43200),
        (answer(429, "Too many", x_ratelimit_remaining="0"), Meaning.SPENT, 43200),
        (answer(429, "Too many", x_ratelimit_remaining="7"), Meaning.SLOW, 60),
        (answer(429, "Too many", retry_after="300"), Meaning.SLOW, 300),
        (answer(429, retry_after="20000"), Meaning.SPENT, 20000),
        (answer(429), Meaning.SLOW, 60),
        (answer(401, "Authentication failed."), Meaning.REFUSED_KEY, 0),
        (answer(401), Meaning.REFUSED_KEY, 0),
        (answer(402, "Upgrade"), Meaning.PLAN, 0),
        (answer(403), Meaning.REFUSED_KEY, 0),
        (answer(422, "The ip must be a valid IP address."), Meaning.INVALID, 0),
        (answer(302), Meaning.FAILED, 0),
        (answer(404), Meaning.FAILED, 0),
        (answer(500, "Server Error"), Meaning.FAILED, 0),
        (answer(503, retry_after="7"), Meaning.FAILED, 7),
    ],
)
def test_an_answer_means(given, meaning, wait):
    """One row each; a page of HTML goes by its status."""
    verdict = judge(given, KEY, NOON)
    assert (verdict.meaning, verdict.wait) == (meaning, wait)


@pytest.mark.parametrize("body", [b"", b"<html>Please log in</html>", b"{}", b"[]", b"\xff", b"5"])
def test_a_page_of_a_proxy_is_no_success(body):
    """Whoever answers 200 in AbuseIPDB's place has taken no report."""
    verdict = judge(Answer(200, {}, body), KEY, NOON)
    assert verdict.meaning is Meaning.FAILED
    assert "on the way" in verdict.text


def test_an_answer_that_repeats_the_key_is_told_without_it():
    """In one line of plain text, bounded."""
    said = f"Your key {KEY.reveal()} is bad\n\x1b[31m" + "x" * 1000
    text = judge(answer(401, said), KEY, NOON).text
    assert KEY.reveal() not in text
    assert text.isprintable()
    assert len(text) < 260


def test_a_file_is_sorted_line_by_line():
    """Duplicates are reported already; what is refused says why; strangers' lines are nobody's."""
    body = json.dumps(
        {
            "data": {
                "savedReports": 1,
                "invalidReports": [
                    {"error": "Duplicate IP", "input": "185.4.0.2", "rowNumber": 3},
                    {"error": "Invalid Category", "input": "185.4.0.3", "rowNumber": 4},
                    {"error": "Invalid IP", "input": "8.8.8.8", "rowNumber": 5},
                ],
            }
        }
    ).encode()
    found = sort(body, ["185.4.0.1", "185.4.0.2", "185.4.0.3"])
    assert (found.saved, found.duplicates, found.refused) == (
        1, ["185.4.0.2"], {"185.4.0.3": "Invalid Category"},
    )  # fmt: skip
    assert cleared(b'{"data":{"numReportsDeleted":3}}') == 3


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=200), st.integers(100, 599), st.text(max_size=20))
def test_any_answer_is_read_or_nothing(body, status, header):
    """Strangers' bytes never raise."""
    given = Answer(status, {"retry-after": header, "x-ratelimit-reset": header}, body)
    verdict = judge(given, KEY, NOON)
    assert 0 <= verdict.wait <= 7 * 86400
    details(body)
    cleared(body)
    sort(body, ["185.4.0.1"])
