"""What waits, on disk."""

import pytest
from notices import NOW, claim

from guard.lib.networks import parse_network
from guard.reporters.notify.book import SCHEMA, VERSION, Book, Gone
from guard.reporters.notify.pace import Pace
from guard.reporters.notify.values import Count, FeedChange
from guard.roles import Refused
from guard.stores.database import open_file

PACE = Pace(NOW, 1)


@pytest.fixture
def reopen(tmp_path):
    """Opens the book, as after a restart."""
    opened = []

    def opens(**options):
        if opened:
            opened[-1].close()
        opened.append(Book(open_file(tmp_path / "notify" / "x.db", SCHEMA, VERSION), **options))
        return opened[-1]

    yield opens
    opened[-1].close()


def rendered(kept):
    """A render that keeps what it was given."""

    def render(what):
        kept.append(what)
        return b"body"

    return render


def test_what_was_noted_is_there_after_a_restart(reopen):
    """Notices, in order."""
    reopen().note([claim(1), claim(2)])
    book, told = reopen(), []
    assert book.waiting == 2
    book.compose_one("id-1", rendered(told), PACE, NOW)
    assert [str(notice.network) for notice in told] == ["198.18.0.1"]
    assert told[0].until == NOW + 3600
    assert book.waiting == 1
    assert book.pace() == PACE


def test_a_message_keeps_its_id_and_body_until_it_is_done(reopen):
    """However often it was tried, and whoever was killed."""
    book = reopen()
    book.note([claim(1)])
    book.compose_one("id-1", lambda what: b"body", PACE, NOW)
    book.defer(book.message(), NOW + 5)
    book = reopen()
    message = book.message()
    assert (message.id, message.body, message.attempts, message.due) == (
        "id-1", b"body", 1, NOW + 5,
    )  # fmt: skip
    book.done(message)
    assert reopen().message() is None


def test_a_body_that_cannot_be_made_loses_nothing(reopen):
    """The notice is still there, and so is the count of them."""
    book = reopen()
    book.note([claim(1)])

    def broken(what):
        raise ZeroDivisionError

    for compose in (book.compose_one, book.compose_all):
        with pytest.raises(ZeroDivisionError):
            compose("id", broken, PACE, NOW)
    assert book.waiting == 1
    assert reopen().waiting == 1


def test_an_end_is_told_of_what_was_told(reopen):
    """With the ban's source, reason and time; lifted before its time or not."""
    reopen().note([claim(1), claim(2)])
    book, told = reopen(), []
    book.note([Gone(claim(1).network, NOW + 10), Gone(claim(2).network, NOW + 3600)])
    for n in range(4):
        book.compose_one(f"id-{n}", rendered(told), PACE, NOW)
        book.done(book.message())
    assert [(n.event, n.lifted) for n in told] == [
        ("ban", False), ("ban", False), ("unban", True), ("unban", False),
    ]  # fmt: skip
    assert told[2].source == "jail:kumomta-relay"
    assert (told[2].since, told[2].time) == (NOW, NOW + 10)


def test_no_end_is_told_twice_or_of_a_stranger(reopen):
    """Another host, or a source that is not told, made that ban."""
    book = reopen()
    book.note([claim(1), Gone(claim(1).network, NOW), Gone(claim(1).network, NOW)])
    assert book.waiting == 2
    book.note([Gone(parse_network("203.0.113.9"), NOW)])
    assert book.waiting == 2


def test_only_what_is_wanted_is_told(reopen):
    """Ends alone need the bans to be remembered all the same."""
    book = reopen(on=("unban",))
    book.note([claim(1)])
    assert book.waiting == 0
    book.note([Gone(claim(1).network, NOW + 1)])
    assert book.waiting == 1


def test_a_digest_is_exact(reopen):
    """Five thousand bans of two jails, one of them again; lists, kinds; then nothing is left."""
    book, told = reopen(), []
    book.note([claim(n, source=f"jail:{'ab'[n % 2]}") for n in range(5000)])
    book.note([claim(7, source="jail:b", strikes=9), Gone(claim(1).network, NOW + 1)])
    book.note([FeedChange("drop", 5, 1), FeedChange("drop", 2, 2), Count("relay_denied", 3)])
    book.note([Count("relay_denied", 4)])
    book.compose_all("id", rendered(told), PACE, NOW + 2)
    (digest,) = told
    assert (digest.bans, digest.unbans, digest.since) == (5001, 1, NOW)
    assert digest.sources == (Count("jail:b", 2501), Count("jail:a", 2500))
    assert digest.top[0] == (str(claim(7).network), 2, 9)
    assert len(digest.top) == 10
    assert digest.feeds == (FeedChange("drop", 7, 3),)
    assert digest.kinds == (Count("relay_denied", 7),)
    assert book.message().notices == 5002
    assert not book.anything()
    assert reopen().waiting == 0


def test_a_book_is_bounded_and_says_what_it_lost(reopen):
    """The oldest go; the next digest tells how many."""
    book, told = reopen(most=10), []
    book.note([claim(n) for n in range(25)])
    assert book.waiting == 10
    book.compose_all("id", rendered(told), PACE, NOW)
    assert (told[0].bans, told[0].lost) == (10, 15)
    book.note([claim(99)])
    book.done(book.message())
    book.compose_all("id-2", rendered(told), PACE, NOW)
    assert told[1].lost == 0


def test_what_is_too_old_is_given_up_and_counted(reopen):
    """By when it happened; the next digest says so."""
    book, told = reopen(), []
    book.note([claim(1), claim(2, now=NOW + 100)])
    assert book.expire(NOW + 50) == 1
    assert book.expire(NOW + 50) == 0
    book.compose_all("id", rendered(told), PACE, NOW + 100)
    assert (told[0].bans, told[0].lost) == (1, 1)


def test_rejections_alone_are_no_digest(reopen):
    """Nothing is told when nothing was done; lists and what was lost are something."""
    book = reopen()
    book.note([Count("relay_denied", 5)])
    assert not book.anything()
    book.note([FeedChange("drop", 1, 0)])
    assert book.anything()


def test_collecting_begins_once_and_survives_a_clock(reopen):
    """A restart does not begin the hour anew; a clock that was put back does."""
    assert reopen().collecting(NOW) == NOW
    assert reopen().collecting(NOW + 500) == NOW
    assert reopen().collecting(NOW - 500) == NOW - 500


def test_suspects_are_those_whose_time_is_over_and_others_in_turn(reopen):
    """Everybody is looked at some time, a few at a time."""
    book = reopen()
    book.note([claim(n, length=None if n % 2 else 100.0 * n) for n in range(1, 20)])
    first = book.suspects("", NOW + 250, 5)
    assert str(claim(2).network) in map(str, first)
    assert len(first) <= 10
    seen, turn = set(), ""
    for _ in range(5):
        found = book.suspects(turn, NOW, 5)
        seen |= set(found)
        turn = max(map(str, found), default="")
    assert len(seen) == 19


def test_a_file_that_is_none_is_refused(tmp_path):
    """With its name, in an operator's words."""
    (tmp_path / "x.db").write_bytes(b"not a database, but of some length" * 100)
    with pytest.raises(Refused, match=r"x\.db"):
        Book(open_file(tmp_path / "x.db", SCHEMA, VERSION))
