"""A comment is made of our own words."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from guard.events import Kind
from guard.reporters.abuseipdb.categories import KINDS
from guard.reporters.abuseipdb.facts import Facts, Part, merged, packed, unpacked
from guard.reporters.abuseipdb.wording import LONGEST, WORDS, comment, timestamp


def facts(*parts):
    return Facts("185.4.0.7", 1_757_678_400.5, None, [11], list(parts))


def test_a_comment_says_what_and_how_often():
    """Kinds with their counts where these are all; without where another host counted too."""
    both = {Kind.RELAY_DENIED: 2, Kind.AUTH_FAILED: 3}
    assert comment(facts(Part(5, "10m", both)), (25, 587)) == (
        "Mail server, TCP ports 25, 587: 5 refused requests within 10m "
        "(3 wrong user or password, 2 relaying denied)"
    )
    assert comment(facts(Part(9, "1d", both)), (25,)) == (
        "Mail server, TCP port 25: 9 refused requests within 1d "
        "(wrong user or password, relaying denied)"
    )
    assert comment(facts(Part(1, "10m", {Kind.SCANNER: 1}), Part(15, "3d", {})), ()) == (
        "Mail server: 1 refused request within 10m (scan); 15 refused requests within 3d"
    )


def test_every_kind_has_words_and_categories():
    """A new kind comes with both."""
    assert set(WORDS) == set(Kind) == set(KINDS)


def test_a_timestamp_has_its_zone():
    """ISO 8601, whole seconds, UTC."""
    assert timestamp(1_757_678_400.9) == "2025-09-12T12:00:00+00:00"


kinds = st.dictionaries(st.sampled_from([str(k) for k in Kind]), st.integers(1, 10**9))
parts = st.builds(
    Part, st.integers(1, 10**9), st.from_regex(r"[0-9]{1,9}[dhms]", fullmatch=True), kinds
)


@settings(deadline=None, max_examples=100)
@given(st.lists(parts, min_size=1, max_size=40), st.lists(st.integers(1, 65535), max_size=300))
def test_a_comment_is_short_plain_text(some, ports):
    """One line of ASCII within AbuseIPDB's limit, with no address and no name of a host in it."""
    text = comment(facts(*some), ports)
    assert len(text) <= LONGEST
    assert text.isascii()
    assert text.isprintable()
    assert not re.search(r"[@:/]{2}|\d\.\d|[a-z]\.[a-z]|@", text)


@settings(deadline=None, max_examples=50)
@given(st.lists(parts, min_size=1, max_size=4), st.lists(parts, min_size=1, max_size=4))
def test_merged_facts_have_all_of_both(some, others):
    """Up to a bound, each part once, and merging again changes nothing."""
    one, other = packed(facts(*some)), packed(facts(*others))
    both = merged(one, other)
    assert set(map(repr, unpacked(both).parts)) == set(map(repr, some + others))
    assert merged(both, other) == both
