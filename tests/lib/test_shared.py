"""guard/lib/shared.py: counts of several processes, added up and given back."""

import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.lib.shared import MINUTE, NOTES, WAYS, Shared


@pytest.fixture
def shared():
    """Memory for three processes and one name."""
    made = Shared.make(["127.0.0.1:25"], 3)
    yield made
    os.close(made.descriptor)


def boards(shared, count=3):
    """What each process sees."""
    found = [shared.board("127.0.0.1:25", seat) for seat in range(count)]
    assert all(found)
    return found


def test_numbers_are_those_of_the_others(shared):
    """Each writes its own and reads the sum of the rest."""
    one, two, three = boards(shared)
    one.tell(0, 5)
    two.tell(0, 7)
    two.tell(1, 1)
    assert [each.elsewhere(0) for each in (one, two, three)] == [7, 5, 12]
    assert three.elsewhere(1) == 1


def test_keys_are_counted_together(shared):
    """Open now, and how many came within a minute that slides."""
    one, two, three = boards(shared)
    for held in (1, 2, 3):
        one.came(77, 30.0, held)
    two.came(77, 30.0, 1)
    assert three.seen(77, 30.0) == (4, 4.0)
    assert one.seen(77, 30.0) == (1, 1.0)
    assert three.seen(78, 30.0) == (0, 0.0)
    one.holds(77, 1)
    one.holds(99, 1)  # never came: nothing to say of it
    assert three.seen(77, 31.0) == (2, 4.0)
    assert three.seen(99, 31.0) == (0, 0.0)
    # Half of the next minute gone, half of what came in the last one is remembered.
    assert three.seen(77, 1.5 * MINUTE) == (2, 2.0)
    one.came(77, 1.5 * MINUTE, 2)
    assert three.seen(77, 1.5 * MINUTE) == (3, 1 + 1.5 + 0.5)
    assert three.seen(77, 9 * MINUTE) == (3, 0.0)


def test_who_is_gone_gives_back(shared):
    """What a dead process had does not stay; nor does what one had that begins again."""
    one, two, three = boards(shared)
    for board in (one, two):
        board.tell(0, 5)
        board.came(77, 30.0, 1)
    shared.clear(0)
    assert three.elsewhere(0) == 5
    assert three.seen(77, 30.0) == (1, 1.0)
    shared.board("127.0.0.1:25", 1)
    assert three.elsewhere(0) == 0
    assert three.seen(77, 30.0) == (0, 0.0)


def test_nobody_has_a_seat_that_is_not_there(shared):
    """Another name, or a process too many, counts alone."""
    assert shared.board("127.0.0.1:26", 0) is None
    assert shared.board("127.0.0.1:25", 3) is None


def test_notes_are_read_once_by_each(shared):
    """By who comes later too; a flood costs the oldest."""
    one, two, three = boards(shared)
    one.note(1, 2, 3)
    two.note(2**64 - 1, 5, 6)
    wanted = [(1, 2, 3), (2**64 - 1, 5, 6)]
    for board in (one, two, three):
        assert list(board.notes()) == wanted
        assert list(board.notes()) == []
    shared.clear(0)
    again = shared.board("127.0.0.1:25", 0)
    assert list(again.notes()) == wanted
    for number in range(NOTES + 10):
        one.note(number, 0, 0)
    heard = [note[0] for note in three.notes()]
    assert heard == list(range(10, NOTES + 10))


def test_who_left_makes_room(shared):
    """A place is taken from those who have none open; who has is not forgotten."""
    one, two, _ = boards(shared)
    same = []
    number = 1
    while len(same) < WAYS + 2:
        if one._bucket(number) == one._bucket(1):
            same.append(number)
        number += 1
    for key in same[:WAYS]:
        one.came(key, 30.0, 1)
    one.came(same[WAYS], 30.0, 1)  # no room: counted by its own process alone
    assert two.seen(same[WAYS], 30.0) == (0, 0.0)
    assert two.seen(same[0], 30.0) == (1, 1.0)
    one.holds(same[3], 0)
    one.came(same[WAYS], 31.0, 1)
    assert two.seen(same[WAYS], 31.0) == (1, 1.0)
    assert two.seen(same[3], 31.0) == (0, 0.0)


STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 4), st.booleans(), st.floats(0, 40)), max_size=60
)


@settings(deadline=None, max_examples=60)
@given(STEPS)
def test_as_one_would_count(steps):
    """Whatever comes and goes where: the others' sum is exact, the minute within a share of it."""
    shared = Shared.make(["x"], 3)
    try:
        each = [shared.board("x", seat) for seat in range(3)]
        held, came, now = [{}, {}, {}], [], 1000.0
        for seat, key, comes, passed in steps:
            now += passed
            here = held[seat]
            if comes:
                here[key] = here.get(key, 0) + 1
                came.append((seat, key, now))
                each[seat].came(key, now, here[key])
            elif here.get(key):
                here[key] -= 1
                each[seat].holds(key, here[key])
            for seat_, board in enumerate(each):
                open_, recent = board.seen(key, now)
                assert open_ == sum(h.get(key, 0) for s, h in enumerate(held) if s != seat_)
                mine = [t for s, k, t in came if k == key and s != seat_]
                assert recent <= sum(t >= now - 2 * MINUTE for t in mine)
                this = int(now / MINUTE) * MINUTE
                assert recent >= sum(t >= this for t in mine)
    finally:
        os.close(shared.descriptor)


def test_another_process_sees_it(shared):
    """By descriptor, as a child inherits it."""
    (one,) = boards(shared, 1)
    one.tell(0, 42)
    one.came(7, 10.0, 3)
    text = (
        "import sys; from guard.lib.shared import Shared; "
        "b = Shared(int(sys.argv[1])).board('127.0.0.1:25', 1); "
        "print(b.elsewhere(0), b.seen(7, 10.0), b.key.hex())"
    )
    said = subprocess.run(
        [sys.executable, "-c", text, str(shared.descriptor)],
        pass_fds=[shared.descriptor], capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert said.split(maxsplit=3)[:3] == ["42", "(3,", "1.0)"]
    assert said.endswith(f"{one.key.hex()}\n")


def test_what_is_no_such_memory(tmp_path):
    """An empty file, or no descriptor at all, is an error at once."""
    path = tmp_path / "empty"
    path.touch()
    with path.open("rb") as file, pytest.raises((OSError, ValueError)):
        Shared(file.fileno())
    with pytest.raises((OSError, ValueError)):
        Shared(9999)
