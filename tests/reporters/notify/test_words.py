"""Occasions in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notices import HOSTILE, NOW, ban, digest, occasion

from guard.reporters.notify.values import Count, FeedChange, Notice, Often
from guard.reporters.notify.words import LONGEST, card, clean


def told(what, host="mx1"):
    """Title, and facts by name."""
    title, facts = card(occasion(what, host=host))
    return title, dict(facts)


def test_a_ban_says_who_for_how_long_by_whom_and_why():
    """All that an operator asks first, with moments in UTC."""
    assert told(ban()) == (
        "Banned 91.92.251.215 for 1h on mx1",
        {
            "By": "jail:kumomta-relay",
            "Reason": "5 rejections within 10m",
            "Since": "2025-09-12 11:08:01 UTC",
            "Until": "2025-09-12 12:08:01 UTC",
            "Strikes": "2",
        },
    )


def test_a_ban_for_ever_has_no_end():
    """It is said in the title, and no moment is made up."""
    title, facts = told(ban(until=None), host="")
    assert title == "Banned 91.92.251.215 for ever"
    assert "Until" not in facts


@pytest.mark.parametrize(
    ("lifted", "why"), [(True, "lifted before its time"), (False, "its time is over")]
)
def test_an_unban_says_why(lifted, why):
    """Whether somebody ended the ban, or it ended."""
    title, facts = told(ban(event="unban", lifted=lifted))
    assert title == "Un-banned 91.92.251.215 on mx1"
    assert facts["Why"] == why
    assert "Until" not in facts


def test_a_test_cannot_be_taken_for_a_ban():
    """It says that nothing happened."""
    title, facts = told(Notice(event="test", time=NOW))
    assert "test" in title
    assert "Nothing happened" in facts["Meaning"]


def test_one_strike_is_no_plural():
    """As one ban is none."""
    _, facts = told(digest(top=(Often("192.0.2.1", 1, 1),)))
    assert facts["Most banned"] == "192.0.2.1: 1 ban, 1 strike"


def test_a_digest_counts():
    """Numbers are grouped, one is no plural, each list has its lines."""
    title, facts = told(digest(lost=5))
    assert title == "1,234 bans, 1 un-ban in 1h on mx1"
    assert facts["Bans by"] == "jail:kumomta-relay: 1,200\nmanual: 34"
    assert facts["Rejections"] == "relay_denied: 99,999"
    assert facts["Most banned"] == "91.92.251.215: 3 bans, 7 strikes\n2001:db8:100::/64: 1 ban"
    assert facts["Lists"] == "spamhaus-drop: +12 -3"
    assert facts["Not told"] == "5 notices waited too long"


def test_a_digest_of_very_much_stays_short():
    """A list has ten lines and says how many more there are."""
    many = tuple(Count(f"jail:{n}", n) for n in range(500))
    _, facts = told(
        digest(
            sources=many,
            kinds=many,
            top=tuple(Often(f"10.0.0.{n}", 1, 0) for n in range(200)),
            feeds=tuple(FeedChange("x" * 500 + str(n), 1, 1) for n in range(500)),
        )
    )
    assert facts["Bans by"].splitlines()[-1] == "and 490 more"
    assert all(len(text) < 1500 for text in facts.values())


@given(st.text(max_size=2 * LONGEST))
def test_cleaned_text_is_one_bounded_line_that_can_be_seen(text):
    """No control character, no bidirectional override, no line end, whatever is given."""
    shown = clean(text)
    assert shown.isprintable()
    assert len(shown) <= LONGEST


def test_cleaned_text_keeps_what_people_write():
    """Letters beyond ASCII stay; what cannot be seen is named."""
    assert clean("Ärger mit Köln") == "Ärger mit Köln"
    assert "\\u202e" in clean(HOSTILE)
    assert "\\x00\\n" in clean(HOSTILE)
