"""What a claim's reason says, and whether rejections seen here were enough for it."""

import pytest

from guard.events import Claim, Overflow, Suspicion, Window
from guard.jails.reasons import reason, seen_here
from guard.lib.networks import parse_network

A = parse_network("192.0.2.1")
WINDOW = Window(5, 600.0)


def why(number, what="rejection", suspicion=None):
    return reason(Overflow("relay", A, 1.0, number), WINDOW, suspicion, what=what)


def test_it_says_number_and_time_and_what_lowered_the_bar():
    """One is singular; fewer than the jail asks for need an explanation."""
    assert why(5) == "5 rejections within 10m"
    assert why(7, "ban") == "7 bans within 10m"
    lowered = why(1, suspicion=Suspicion(1, "abuseipdb score 87"))
    assert lowered == "1 rejection within 10m, fewer are enough: abuseipdb score 87"
    assert why(2) == "2 rejections within 10m, fewer are enough: known to others"


@pytest.mark.parametrize(
    ("source", "text", "seen"),
    [
        ("jail:relay", why(5), True),
        ("jail:relay", why(1).replace("10m", "1d2h"), False),
        ("jail:relay", why(2, suspicion=Suspicion(2, "listed by x")), False),
        ("jail:recidive", why(5, "ban"), False),
        ("jail:crowd", "3 addresses banned within 1d", False),
        ("feed:x", "listed by x", False),
        ("manual", "5 rejections within 10m", False),
    ],
)
def test_only_rejections_seen_here_count_as_evidence(source, text, seen):
    """Nothing that a list, a score, a hand or another ban has brought about."""
    assert seen_here(Claim(A, source, text, 0.0, 1.0)) is seen
