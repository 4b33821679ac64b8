"""What waits in the spool: read, changed under a lock, set aside when it is damaged."""

import contextlib
import os
import threading
import time
from pathlib import Path

import pytest

from guard.mail.spool import FileSpool, new_id
from guard.mail.waiting import Damaged, Gone, State, Waiting
from guard.roles import Unavailable


@pytest.fixture
def waiting(tmp_path: Path) -> Waiting:
    """An empty spool."""
    made = Waiting(tmp_path / "spool")
    made.open()
    FileSpool(tmp_path / "spool").open()
    return made


def put(waiting: Waiting, *recipients: str, body: bytes = b"Subject: x\r\n\r\nhello\r\n") -> str:
    """A message in the spool; its id."""
    message = FileSpool(waiting.folder).create("a@example.com", recipients or ["b@c"], {"k": "v"})
    message.write(body)
    return message.commit()


def test_a_message_is_read_back(waiting: Waiting):
    """Envelope, bytes and size are what the spool wrote; the state is a fresh one."""
    id_ = put(waiting, "b@c", "d@e")
    message = waiting.load(id_)
    assert message.envelope.recipients == message.left == ["b@c", "d@e"]
    assert message.state == State()
    with waiting.body(message) as file:
        data = file.read()
    assert data == b"Subject: x\r\n\r\nhello\r\n"
    assert message.size == len(data)
    assert waiting.ids() == [id_]


def test_state_is_durable_and_goes_with_the_message(waiting: Waiting):
    """What was saved is loaded by the next process; remove leaves nothing."""
    id_ = put(waiting, "b@c", "d@e")
    state = State(attempts=3, due=1757675281.5, held=True, left=["d@e"], last="451 later")
    waiting.save(id_, state)
    again = Waiting(waiting.folder)
    assert again.load(id_).state == state
    assert again.load(id_).left == ["d@e"]
    waiting.remove(id_)
    assert [p for p in waiting.folder.rglob("*") if p.is_file()] == []
    with pytest.raises(Gone):
        waiting.load(id_)


def test_a_damaged_message_is_set_aside_and_named(waiting: Waiting):
    """The others are not held up, and the bytes are kept for a human."""
    good = put(waiting)
    for data in (
        b"",
        b"no json\nx",
        b'{"id":"x"}\n',
        b'{"id":"other","sender":"","recipients":["a"],"meta":{},"created":0}\n',
        b"\xff" * 100,
    ):
        bad = new_id(0)
        (waiting.new / bad).write_bytes(data)
        with pytest.raises(Damaged, match=f"{bad} is damaged"):
            waiting.load(bad)
        assert (waiting.folder / "damaged" / bad).read_bytes() == data
    (waiting.new / ("f" * 32)).mkdir()
    with pytest.raises(Damaged):
        waiting.load("f" * 32)
    assert waiting.ids() == [good]


def test_an_envelope_cut_off_is_damaged(waiting: Waiting):
    """A file system that lost the end of a file is told from a whole message."""
    id_ = put(waiting)
    os.truncate(waiting.new / id_, 20)
    with pytest.raises(Damaged):
        waiting.load(id_)


def test_a_damaged_state_means_start_again(waiting: Waiting):
    """Better twice to somebody than never to anybody."""
    id_ = put(waiting)
    waiting.save(id_, State(attempts=5, left=[]))
    (waiting.folder / "state" / id_).write_bytes(b"{torn")
    assert waiting.load(id_).state == State()


def test_only_one_holds_the_lock(waiting: Waiting):
    """The second is told, and may take it afterwards."""
    with waiting.lock() as first, Waiting(waiting.folder).lock() as second:
        assert (first, second) == (True, False)
    with Waiting(waiting.folder).lock() as third:
        assert third


def test_wishes_are_heard_once(waiting: Waiting):
    """An operator asks; whoever delivers hears it, whatever else lies there."""
    first, second = put(waiting), put(waiting)
    waiting.ask("drop", first)
    waiting.ask("hold", second)
    (waiting.folder / "asked" / "nonsense").touch()
    (waiting.folder / "asked" / "drop...").touch()
    assert sorted(waiting.asked()) == sorted([("drop", first), ("hold", second)])
    assert waiting.asked() == []


def test_what_wishes_do(waiting: Waiting):
    """Hold keeps the schedule, release and retry make it now, drop forgets."""
    id_ = put(waiting)
    waiting.save(id_, State(attempts=2, due=5e9, last="x"))
    waiting.apply("hold", id_)
    assert waiting.load(id_).state == State(attempts=2, due=5e9, held=True, last="x")
    waiting.apply("release", id_)
    assert waiting.load(id_).state == State(attempts=2, due=0, held=False, last="x")
    waiting.apply("hold", id_)
    waiting.apply("retry", id_)
    assert not waiting.load(id_).state.held
    waiting.apply("drop", id_)
    with pytest.raises(Gone):
        waiting.apply("retry", id_)


def test_states_without_messages_are_tidied(waiting: Waiting):
    """A kill between the two removals leaves a state, which goes at the next start."""
    id_ = put(waiting)
    waiting.save(id_, State(attempts=1))
    waiting.save("e" * 32, State(attempts=1))
    waiting.tidy({id_})
    assert [p.name for p in (waiting.folder / "state").iterdir()] == [id_]


def test_changes_are_seen(waiting: Waiting):
    """Coming and going changes the number that a runner looks at."""
    before = waiting.changed()
    id_ = put(waiting)
    after = waiting.changed()
    time.sleep(0.02)  # the kernel's clock for files ticks coarsely
    waiting.remove(id_)
    assert len({before, after, waiting.changed()}) >= 2


def test_readers_need_no_lock(waiting: Waiting):
    """Listing while messages come and go finds whole ones or none."""
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            waiting.remove(put(waiting))

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(100):
            for id_ in Waiting(waiting.folder).ids():
                with contextlib.suppress(Gone):
                    assert waiting.load(id_).envelope.id == id_
    finally:
        stop.set()
        thread.join()


def test_no_spool_is_an_empty_one(tmp_path: Path):
    """A command before the first message has nothing to complain of."""
    assert Waiting(tmp_path / "nowhere").ids() == []
    with pytest.raises(Unavailable):
        Waiting(tmp_path / "nowhere").asked()
