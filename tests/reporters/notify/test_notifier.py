"""A notifier, step by step, with a clock of the test."""

import logging
from itertools import pairwise

import pytest
from notices import NOW, claim

from guard.reporters.notify import plain
from guard.reporters.notify.book import SCHEMA, VERSION, Book
from guard.reporters.notify.notifier import LONGEST_PAUSE, Notifier, new_id, pause
from guard.reporters.notify.receivers import Never, NotNow
from guard.reporters.notify.settings import MailNotify, WebhookNotify
from guard.reporters.notify.values import Digest, FeedChange
from guard.roles import Unavailable
from guard.stores.database import open_file

URL = "https://ops.example.com/hook"


class Someone:
    """A receiver that answers with `errors` in turn, and keeps what it took."""

    place = "https://ops.example.com/..."

    def __init__(self):
        self.errors, self.tried, self.took, self.said = [], [], [], []

    def body(self, occasion):
        self.said.append(occasion)
        return plain.body(occasion)

    def deliver(self, id_, body, now):
        self.tried.append((id_, now))
        if self.errors:
            raise self.errors.pop(0)
        self.took.append(next(o for o in self.said if o.id == id_).what)


class World:
    """A notifier in a folder, its receiver, and a clock."""

    def __init__(self, folder, settings):
        self.folder, self.settings = folder, settings
        self.someone, self.now, self.notifier = Someone(), NOW, None
        self.start()

    def start(self):
        """Begins, or begins again."""
        if self.notifier:
            self.notifier.close()
        settings = self.settings
        on = ("ban", "unban") if isinstance(settings, MailNotify) else settings.on
        book = Book(open_file(self.folder / "x.db", SCHEMA, VERSION), on)
        self.notifier = Notifier(settings, self.someone, book, "mx1")

    def pass_(self, seconds, step=1.0):
        """Lives for so long."""
        end = self.now + seconds
        while self.now < end:
            self.notifier.keep()
            while self.notifier.step(self.now) == 0:
                pass
            self.now += step

    @property
    def row(self):
        """What the status tells."""
        return self.notifier.row()


@pytest.fixture
def world(tmp_path):
    """Makes one; closed at the end."""
    made = []

    def make(**settings):
        found = (MailNotify if "to" in settings else WebhookNotify)(
            **{"type": "webhook", "url": URL, **settings}
            if "to" not in settings
            else {"type": "mail", **settings}
        )
        made.append(World(tmp_path, found))
        return made[-1]

    yield make
    for one in made:
        one.notifier.close()


def test_a_ban_and_its_end_are_told_once_each(world):
    """In a second."""
    here = world()
    here.notifier.banned([claim(1)])
    here.pass_(2)
    here.notifier.unbanned([claim(1).network], here.now)
    here.pass_(100)
    assert [what.event for what in here.someone.took] == ["ban", "unban"]
    assert (here.row["sent"], here.row["queued"], here.row["error"]) == (2, 0, "")


def test_only_sources_that_are_wanted_are_told(world):
    """A list brings a hundred thousand, and nobody is told of them one by one."""
    here = world()
    here.notifier.banned([claim(1, source="manual"), claim(2, source="feed:drop"), claim(3)])
    here.notifier.list_changed(FeedChange("drop", 100_000, 0))
    here.notifier.unbanned([claim(n).network for n in (1, 2)], NOW)
    here.pass_(100)
    assert [str(what.network) for what in here.someone.took] == [str(claim(3).network)]


def test_a_flood_is_a_few_messages_with_exact_totals(world):
    """Five thousand bans in a minute: ten of them, then one of the rest."""
    here = world()
    for n in range(5000):
        here.notifier.banned([claim(n)])
        if n % 100 == 0:
            here.pass_(1)
    here.pass_(200)
    took = here.someone.took
    assert len(took) <= 11
    assert sum(w.bans if isinstance(w, Digest) else 1 for w in took) == 5000
    assert here.row["queued"] == 0


def test_failures_are_tried_again_later_and_later_with_the_same_id(world):
    """Until it works; then the error is forgotten."""
    here = world()
    here.someone.errors = [NotNow("down")] * 6
    here.notifier.banned([claim(1)])
    here.pass_(2)
    assert (here.row["error"], here.row["queued"]) == ("down", 1)
    here.pass_(120)
    ids, times = {id_ for id_, _ in here.someone.tried}, [t for _, t in here.someone.tried]
    assert len(ids) == 1
    gaps = [b - a for a, b in pairwise(times)]
    assert gaps == sorted(gaps)
    assert gaps[-1] >= 16
    assert (len(here.someone.took), here.row["error"]) == (1, "")


def test_a_receiver_that_says_when_is_not_asked_before(world):
    """Retry-After beyond our own pause; at most an hour is believed."""
    here = world()
    here.someone.errors = [NotNow("limited", 90.0), NotNow("limited", 1e9)]
    here.notifier.banned([claim(1)])
    here.pass_(5000)
    first, second, third = (t for _, t in here.someone.tried)
    assert 90 <= second - first < 92
    assert 3600 <= third - second < 3602


def test_what_comes_while_the_receiver_is_down_is_told_as_one(world):
    """Not as the thousands of posts that it missed."""
    here = world()
    here.someone.errors = [NotNow("down")] * 14
    for n in range(500):
        here.notifier.banned([claim(n)])
        here.pass_(2)
    here.someone.errors.clear()
    here.pass_(1000)
    took = here.someone.took
    assert sum(w.bans if isinstance(w, Digest) else 1 for w in took) == 500
    assert len(took) < 30


def test_what_is_refused_for_good_does_not_hold_up_the_rest(world):
    """It is counted, and the next is tried."""
    here = world()
    here.someone.errors = [Never("answers 404")]
    here.notifier.banned([claim(1), claim(2)])
    here.pass_(5)
    assert len(here.someone.took) == 1
    assert (here.row["failed"], here.row["sent"]) == (1, 1)


def test_nobody_there_for_too_long_is_given_up_and_counted(world, caplog):
    """The status has the count, the log the words."""
    here = world(expire=3600.0)
    here.someone.errors = [NotNow("down")] * 10_000
    here.notifier.banned([claim(n) for n in range(30)])
    with caplog.at_level(logging.ERROR):
        here.pass_(9000, step=7.0)
    assert here.row["expired"] == 30
    assert here.row["queued"] == 0
    assert "gave up 30 notices" in caplog.text


def test_a_restart_goes_on_where_it_was(world):
    """Same id, nothing twice, nothing lost."""
    here = world()
    here.someone.errors = [NotNow("down")]
    here.notifier.banned([claim(1), claim(2)])
    here.pass_(1)
    here.start()
    here.pass_(60)
    assert [str(w.network) for w in here.someone.took] == [str(claim(n).network) for n in (1, 2)]
    assert here.someone.tried[0][0] == here.someone.tried[1][0]


def test_a_clock_that_was_put_back_stops_nothing(world):
    """Whatever was due in the old time is due."""
    here = world()
    here.someone.errors = [NotNow("down", 600.0)]
    here.notifier.banned([claim(1)])
    here.pass_(1)
    here.now -= 86400 * 30
    here.pass_(10)
    assert len(here.someone.tried) >= 2


def test_a_digest_comes_in_its_time_and_only_when_something_happened(world):
    """An hour of bans is one message; an hour of nothing is none."""
    here = world(digest=3600.0, sources=("jail", "feed"))
    here.pass_(7200, step=10)
    here.notifier.rejected({"relay_denied": 50})
    here.pass_(3600, step=10)
    assert here.someone.took == []
    here.notifier.banned([claim(n, now=here.now) for n in range(300)])
    here.notifier.list_changed(FeedChange("drop", 9, 1))
    here.notifier.rejected({"relay_denied": 70})
    here.pass_(3700, step=10)
    (digest,) = here.someone.took
    assert (digest.bans, digest.feeds) == (300, (FeedChange("drop", 9, 1),))
    assert digest.time - digest.since <= 3610
    assert digest.kinds == (("relay_denied", 20),)


def test_a_digest_goes_on_over_a_restart(world):
    """The hour does not begin anew, and nothing is forgotten."""
    here = world(digest=3600.0)
    here.notifier.banned([claim(1)])
    here.pass_(3000, step=10)
    here.start()
    here.pass_(700, step=10)
    (digest,) = here.someone.took
    assert digest.bans == 1


def test_mail_is_a_digest(world):
    """Of jails, bans by hand and lists."""
    here = world(to=("ops@example.com",), digest=3600.0)
    here.notifier.banned([claim(1), claim(2, source="manual")])
    here.pass_(3700, step=10)
    assert here.someone.took[0].bans == 2


def test_a_disk_that_takes_nothing_loses_nothing(world, monkeypatch):
    """What came waits in memory, in order, until it does."""
    here = world()
    note = here.notifier._book.note

    def full(batch):
        raise Unavailable("no space left")

    monkeypatch.setattr(here.notifier._book, "note", full)
    here.notifier.banned([claim(1), claim(2)])
    with pytest.raises(Unavailable):
        here.notifier.keep()
    here.notifier.banned([claim(3)])
    assert here.row["queued"] == 3
    monkeypatch.setattr(here.notifier._book, "note", note)
    here.pass_(3)
    assert [str(w.network) for w in here.someone.took] == [str(claim(n).network) for n in (1, 2, 3)]


def test_memory_is_bounded_and_what_had_no_room_is_counted(world, monkeypatch):
    """While the disk hangs the list of what came does not grow for ever."""
    monkeypatch.setattr("guard.reporters.notify.notifier.INBOX", 5)
    here = world()
    here.notifier.banned([claim(n) for n in range(8)])
    assert (here.row["queued"], here.row["lost"]) == (5, 3)


def test_pauses_grow_and_end_growing():
    """Seconds at first, minutes later."""
    found = [pause(n) for n in range(30)]
    assert found == sorted(found)
    assert found[0] < 1
    assert found[-1] == LONGEST_PAUSE


def test_ids_are_those_of_the_spool():
    """A mail's file has the name of its message."""
    one, other = new_id(NOW), new_id(NOW)
    assert one != other
    assert len(one) == 32
    assert int(one[:12], 16) == int(NOW * 1000)
