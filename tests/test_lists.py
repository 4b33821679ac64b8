"""Feeds as the daemon uses them: slow work apart from the ledger's, a status that asks nobody."""

import pytest

from guard.feeds.copies import FolderCopies
from guard.feeds.plain import PlainSettings
from guard.feeds.sync import Feeds
from guard.lists import Lists
from guard.protect.protection import Protectors
from guard.roles import BadInput, Unavailable
from guard.stores.embedded_ledger import EmbeddedLedger

NOW = 1_700_000_000.0


class Copies(FolderCopies):
    """Copies that can go away."""

    gone = False

    def load(self, name):
        if self.gone:
            raise Unavailable("Redis is gone")
        return super().load(name)


@pytest.fixture
def lists(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("11.4.0.1\n11.4.0.3\n")
    copies, ledger = Copies(tmp_path / "feeds"), EmbeddedLedger(None, 3600.0)
    feeds = Feeds([PlainSettings(name="mine", path=path).recipe()], copies, Protectors())
    made = Lists(feeds, ledger)
    made.copies, made.ledger, made.path = copies, ledger, path
    return made


def test_what_is_due_is_finished_by_the_ledgers_thread(lists):
    """`step` claims nothing by itself; what it returns does; a second one has nothing to do."""
    finish = lists.step(NOW)
    assert lists.ledger.claims(NOW) == []
    finish(NOW)
    assert len(lists.ledger.claims(NOW)) == 2
    assert lists.step(NOW + 60) is None
    assert lists.suspects is None


def test_a_brief_status_asks_nobody(lists):
    """It is as of the last look, also while the copies cannot be had."""
    assert lists.brief(NOW) == []
    lists.step(NOW)(NOW)
    row = {"name": "mine", "entries": 2, "blocks": 2, "left out": 0, "age": 5, "faults": 0}
    row |= {"held": False, "why left out": "", "notice": ""}
    (told,) = lists.brief(NOW + 5)
    assert 86400 * 0.9 < told.pop("next") < 86400 * 1.1
    assert told == row
    lists.copies.gone = True
    assert lists.step(NOW + 10) is None
    assert lists.brief(NOW + 10)[0]["blocks"] == 2
    lists.copies.gone = False
    lists.path.unlink()
    assert lists.step(NOW + 2 * 86400) is None
    assert lists.brief(NOW + 2 * 86400)[0]["faults"] == 1


def test_one_feed_is_synced_by_hand(lists):
    """An unknown name is the operator's slip, with the names that there are."""
    with pytest.raises(BadInput, match="there are: mine"):
        lists.collect("other", NOW)
    answer = lists.finish(lists.collect("mine", NOW), NOW, dry_run=True)
    assert (answer["came"], answer["asked"], answer["dry_run"]) == (2, True, True)
    assert lists.ledger.claims(NOW) == []
    assert lists.finish(lists.collect("mine", NOW), NOW)["came"] == 2
    assert len(lists.ledger.claims(NOW)) == 2


def test_changes_of_a_list_are_told(lists):
    """How many came and went, when the ledger has it; by a sync by hand too; not by a dry run."""
    told = []
    lists.tell(lambda *change: told.append(change))
    finish = lists.step(NOW)
    assert told == []
    finish(NOW)
    lists.path.write_text("11.4.0.1\n")
    lists.finish(lists.collect("mine", NOW + 60, accept=True, dry_run=True), NOW, dry_run=True)
    lists.finish(lists.collect("mine", NOW + 120, accept=True), NOW + 120)
    assert told == [("mine", 2, 0), ("mine", 0, 1)]
