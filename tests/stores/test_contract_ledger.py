"""What `Ledger` promises, held against every store."""

from msgspec.structs import replace

from guard.events import Claim, Past, Remembered
from guard.lib.networks import Network, parse_network

A, B = parse_network("192.0.2.1"), parse_network("2001:db8:0:1::/64")
WIDE = parse_network("192.0.2.0/24")
NOW = 1_757_675_281.4123456


def jail(network=A, *, since=NOW, length=600.0, name="relay"):
    until = None if length is None else since + length
    return Claim(network, f"jail:{name}", "5 rejections in 10m", since, until)


def manual(network=A, until=None, reason="by hand"):
    return Claim(network, "manual", reason, NOW, until)


def feed(network, until=None):
    return Claim(network, "feed:drop", "SBL1", NOW, until)


def test_a_claim_is_there_until_it_ends(store):
    """Live claims are listed with all they said, to the last bit of their times."""
    made = store.ledger.claim([jail(), manual(B)], NOW)
    assert made == [replace(jail(), strikes=1), manual(B)]
    assert set(store.ledger.claims(NOW + 599)) == set(made)
    assert store.ledger.claims(NOW + 600) == [manual(B)]
    assert [store.ledger.size(NOW + later) for later in (599, 600)] == [2, 1]


def test_a_jail_that_claims_again_is_no_strike(store):
    """A live claim keeps its beginning, takes the new end, and counts once."""
    store.ledger.claim([jail()], NOW)
    later = jail(since=NOW + 60)
    expected = replace(later, since=NOW, strikes=1)
    assert store.ledger.claim([later], NOW + 60) == [expected]
    assert store.ledger.claims(NOW + 60) == [expected]


def test_strikes_count_by_jail_and_outlive_the_claim(store):
    """Each ban of a jail is a strike; hand and feeds make none; other networks have their own."""
    store.ledger.claim([jail(), feed(A), manual(A)], NOW)
    store.ledger.claim([jail(since=NOW + 700), jail(since=NOW + 700, name="auth")], NOW + 700)
    past, other = store.ledger.past([A, B], NOW + 700)
    assert past.strikes == {"jail:relay": 2, "jail:auth": 1}
    assert {(c.source, c.strikes) for c in past.claims} == {
        ("jail:relay", 2),
        ("jail:auth", 3),
        ("feed:drop", 0),
        ("manual", 0),
    }
    assert other == Past((), {})
    assert store.ledger.past([A], NOW + 9000)[0].strikes == past.strikes


def test_what_is_restored_is_no_strike(store):
    """Claims that come from another ledger say their strikes; the record is carried by itself."""
    store.ledger.remember([Remembered(A, {"jail:relay": 2}, NOW + 600)])
    store.ledger.claim([manual(A), jail(B)], NOW)
    cursor, _ = store.ledger.changes("")
    brought = [replace(jail(), strikes=2), replace(jail(B, since=NOW - 9), strikes=7)]
    store.ledger.restore(brought, NOW)
    past, other = store.ledger.past([A, B], NOW)
    assert past.strikes == {"jail:relay": 2}
    assert set(past.claims) == {manual(A), replace(jail(), strikes=2)}
    assert other.strikes == {"jail:relay": 1}
    assert other.claims == (Claim(B, "jail:relay", brought[1].reason, NOW, NOW + 591, 1),)
    assert store.ledger.changes(cursor)[1] == {A, B}


def test_strikes_are_forgotten_long_after_the_last_ban_ended(store):
    """Their age counts from the end of the ban, and from an un-ban where that came first."""
    kept = 90 * 86400.0
    store.ledger.claim([jail(length=1000.0)], NOW)
    store.ledger.claim([jail(B, length=None)], NOW)
    assert store.ledger.past([A], NOW + 1000 + kept - 1)[0].strikes
    assert not store.ledger.past([A], NOW + 1000 + kept)[0].strikes
    assert store.ledger.past([B], NOW + 10 * kept)[0].strikes
    store.ledger.withdraw(B, None, NOW + 10)
    assert not store.ledger.past([B], NOW + 10 + kept)[0].strikes
    late = NOW + 1000 + kept
    assert store.ledger.claim([jail(since=late)], late)[0].strikes == 1


def test_withdraw_ends_what_was_asked_for(store):
    """One source, one network, both or all; exactly that network, and only what was live."""
    store.ledger.claim([jail(), manual(A), manual(WIDE), feed(B), jail(B, length=5.0)], NOW)
    now = NOW + 10
    assert store.ledger.withdraw(A, "feed:drop", now) == []
    assert [c.source for c in store.ledger.withdraw(A, "manual", now)] == ["manual"]
    assert [c.source for c in store.ledger.withdraw(B, None, now)] == ["feed:drop"]
    assert {c.network for c in store.ledger.claims(now)} == {A, WIDE}
    assert {c.network for c in store.ledger.withdraw(None, None, now)} == {A, WIDE}
    assert store.ledger.claims(now) == []
    assert store.ledger.withdraw(None, None, now) == []


def test_replace_makes_a_feed_what_it_is_now(store):
    """What left the list is no longer blocked by it; other sources keep what they have."""
    store.ledger.claim([jail(A)], NOW)
    assert store.ledger.replace("feed:drop", [feed(A), feed(B)], NOW) == (2, 0)
    assert store.ledger.replace("feed:drop", [feed(B), feed(WIDE)], NOW) == (1, 1)
    assert {(c.network, c.source) for c in store.ledger.claims(NOW)} == {
        (A, "jail:relay"),
        (B, "feed:drop"),
        (WIDE, "feed:drop"),
    }
    assert store.ledger.replace("feed:drop", [], NOW) == (0, 2)
    assert store.ledger.claims(NOW)[0].source == "jail:relay"


def test_claims_are_oldest_first(store):
    """By the time at which each began."""
    store.ledger.claim([jail(B, since=NOW + 5), jail(A, since=NOW + 1)], NOW + 5)
    store.ledger.claim([jail(WIDE, since=NOW + 3)], NOW + 5)
    assert [c.network for c in store.ledger.claims(NOW + 5)] == [A, WIDE, B]


def test_changes_name_what_was_touched_since(store):
    """A reader that follows the cursor hears of every change once, and begins with everything."""
    cursor, everything = store.ledger.changes("")
    assert everything is None
    assert store.ledger.changes(cursor) == (cursor, set())
    store.ledger.claim([jail(A), manual(B)], NOW)
    second, touched = store.ledger.changes(cursor)
    assert touched == {A, B}
    store.ledger.withdraw(A, None, NOW + 1)
    store.ledger.replace("feed:drop", [feed(WIDE)], NOW + 1)
    third, touched = store.ledger.changes(second)
    assert touched == {A, WIDE}
    assert store.ledger.changes(cursor)[1] == {A, B, WIDE}
    store.ledger.replace("feed:drop", [feed(WIDE)], NOW + 2)
    assert store.ledger.changes(third)[1] == set()


def test_a_cursor_from_elsewhere_reads_everything(store):
    """Any text may be a cursor; an unknown one means: read all claims again."""
    cursor, _ = store.ledger.changes("")
    for strange in ("x", "1-0", "abcdef01:5", cursor + "9"):
        assert store.ledger.changes(strange)[1] is None


def test_reasons_are_any_text(store):
    """Quotes, blanks, line ends and other scripts come back as they were."""
    for reason in ('say "no"\\', "two\nlines", "grüße ☃", "", "a\0b", '","until":1,'):
        store.ledger.claim([manual(A, reason=reason)], NOW)
        assert store.ledger.claims(NOW)[0].reason == reason


def test_the_ledger_survives_a_restart(reopened):
    """Claims, strikes and ends are there again; the last cursor is good or unknown."""
    store = reopened()
    made = store.ledger.claim([jail(), manual(B), feed(WIDE, NOW + 50)], NOW)
    past = store.ledger.past([A], NOW)
    cursor, _ = store.ledger.changes("")
    store.close()
    store = reopened()
    assert set(store.ledger.claims(NOW)) == set(made)
    assert store.ledger.past([A], NOW) == past
    assert store.ledger.changes(cursor)[1] in (None, set())
    assert store.ledger.claim([jail(since=NOW + 700)], NOW + 700)[0].strikes == 2


def test_strikes_can_be_carried_elsewhere(store):
    """What is remembered is given whole; taking it only raises, and repeats are nothing."""
    store.ledger.claim([jail(), jail(B, length=None)], NOW)
    assert sorted(store.ledger.remembered()) == [
        Remembered(A, {"jail:relay": 1}, NOW + 600),
        Remembered(B, {"jail:relay": 1}, None),
    ]
    rows = [
        Remembered(A, {"jail:relay": 5, "jail:ssh": 2}, NOW - 10),
        Remembered(WIDE, {"jail:x": 3}, NOW + 0.123456),
        Remembered(B, {"jail:relay": 0}, NOW),
    ]
    for _ in range(2):
        store.ledger.remember(rows)
        assert sorted(store.ledger.remembered()) == [
            Remembered(WIDE, {"jail:x": 3}, NOW + 0.123456),
            Remembered(A, {"jail:relay": 5, "jail:ssh": 2}, NOW + 600),
            Remembered(B, {"jail:relay": 1}, None),
        ]
    assert store.ledger.claim([jail(since=NOW + 700)], NOW + 700)[0].strikes == 8


def test_a_list_that_is_read_again_keeps_its_beginnings(store):
    """What was on a list yesterday is claimed since yesterday, however much of the list changed."""
    networks = [Network(4, (11 << 24) + n, 32) for n in range(4000)]
    store.ledger.replace("feed:drop", [feed(n) for n in networks[:2500]], NOW)
    later = [replace(feed(n), since=NOW + 60) for n in networks[500:]]
    assert store.ledger.replace("feed:drop", later, NOW + 60) == (1500, 500)
    since = {c.network: c.since for c in store.ledger.claims(NOW + 60)}
    assert since == {n: NOW if n < networks[2500] else NOW + 60 for n in networks[500:]}
