"""The embedded store as files: one process at a time, no other release's, nothing half open."""

import sqlite3
import threading

import pytest

from guard.events import Claim, Offence, Window
from guard.lib.networks import Network, parse_network
from guard.roles import Refused, Unavailable
from guard.stores.embedded import EmbeddedStore
from guard.stores.open import open_store
from guard.stores.settings import StoreSettings

NOW = 1_757_675_281.5
A, B = parse_network("192.0.2.1"), parse_network("192.0.2.2")
WINDOWS = {"relay": Window(2, 600.0)}


def claim(network):
    return Claim(network, "jail:relay", "x", NOW, NOW + 600)


def test_a_second_process_is_refused(tmp_path):
    """The lock goes with the store; the message names the way to share one."""
    store = EmbeddedStore(tmp_path)
    with pytest.raises(Refused, match=r"in use by another guard.*Redis"):
        EmbeddedStore(tmp_path)
    store.close()
    open_store(StoreSettings(), tmp_path).close()


def test_it_is_made_in_one_thread_and_used_in_another(tmp_path):
    """As the daemon does: opened at the start, then left to the worker."""
    store = EmbeddedStore(tmp_path)
    answers = []

    def work():
        answers.append(store.counters.count([Offence("relay", A, NOW, 2)], WINDOWS))
        answers.append(store.ledger.claim([claim(A)], NOW))
        answers.append(store.crowds.join(parse_network("192.0.2.0/24"), A, NOW, 60.0))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(answers) == 3
    store.close()


def test_a_file_of_another_release_is_refused_and_left(tmp_path):
    """Not guessed at; and the lock is free again afterwards."""
    EmbeddedStore(tmp_path).close()
    file = sqlite3.connect(tmp_path / "ledger.db")
    file.execute("PRAGMA user_version = 7")
    file.close()
    for _ in range(2):
        with pytest.raises(Refused, match=r"ledger.db has format 7.*another release"):
            EmbeddedStore(tmp_path)


def test_a_file_that_is_no_database_is_refused(tmp_path):
    """With its name."""
    (tmp_path / "ledger.db").write_bytes(b"not a database, and long enough to be sure of it" * 50)
    with pytest.raises(Refused, match=r"ledger.db cannot be read"):
        EmbeddedStore(tmp_path)


def test_a_change_that_cannot_be_written_did_not_happen(tmp_path):
    """Somebody holds the database: Unavailable, and memory is as the file is."""
    store = EmbeddedStore(tmp_path)
    store.ledger.claim([claim(A)], NOW)
    cursor, _ = store.ledger.changes("")
    store.ledger._file._connection.execute("PRAGMA busy_timeout = 10")
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="locked"):
        store.ledger.claim([claim(B)], NOW)
    assert [c.network for c in store.ledger.claims(NOW)] == [A]
    assert store.ledger.changes(cursor)[1] is None
    other.execute("ROLLBACK")
    other.close()
    assert store.ledger.claim([claim(B)], NOW)[0].strikes == 1
    assert store.ledger.past([A], NOW)[0].strikes == {"jail:relay": 1}
    store.close()


def test_the_directory_is_for_its_owner_and_group(tmp_path):
    """Who reads the ledger knows who is blocked: not everybody's business."""
    EmbeddedStore(tmp_path / "new").close()
    assert (tmp_path / "new").stat().st_mode & 0o007 == 0


@pytest.mark.parametrize("number", [1, 99, 100, 101, 250])
def test_as_many_bans_as_come_at_once_are_kept(tmp_path, number):
    """However they are put together into statements, and their strikes with them."""
    store = EmbeddedStore(tmp_path)
    claims = [claim(Network(4, 0xC6336400 + at, 32)) for at in range(number)]
    made = store.ledger.claim(claims, NOW)
    strikes = store.ledger.remembered()
    store.close()
    again = EmbeddedStore(tmp_path)
    assert sorted(again.ledger.claims(NOW), key=_network) == made
    assert sorted(again.ledger.remembered(), key=_network) == strikes
    assert len(strikes) == number
    again.close()


def _network(row):
    return row.network


def test_claims_that_cannot_be_written_are_not_made(tmp_path):
    """None of them, whoever follows is told to read all anew, and those of before stay."""
    store = EmbeddedStore(tmp_path)
    store.ledger.claim([claim(A)], NOW)
    cursor, _ = store.ledger.changes("")
    holder = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    store.ledger._file._connection.execute("PRAGMA busy_timeout = 1")
    with pytest.raises(Unavailable):
        store.ledger.claim([claim(B)], NOW)
    holder.execute("ROLLBACK")
    holder.close()
    assert [c.network for c in store.ledger.claims(NOW)] == [A]
    assert store.ledger.changes(cursor)[1] is None
    store.close()
