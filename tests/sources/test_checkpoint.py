"""A place is on disk when it can be, in memory when it cannot, and never guessed."""

import msgspec
import pytest

from guard.roles import Unavailable
from guard.sources.checkpoint import Checkpoint


class Place(msgspec.Struct, frozen=True):
    """Something to keep."""

    line: int


def test_a_place_survives_a_restart(tmp_path):
    """What was saved last is what is loaded, in a folder that is made for it."""
    path = tmp_path / "deep" / "er" / "place.json"
    checkpoint = Checkpoint(path, Place)
    assert checkpoint.load() == {}
    assert checkpoint.save({"a": Place(1)})
    assert checkpoint.save({"a": Place(2), "b": Place(3)})
    assert not checkpoint.save({"a": Place(2), "b": Place(3)})
    assert Checkpoint(path, Place).load() == checkpoint.saved == {"a": Place(2), "b": Place(3)}
    assert list(path.parent.iterdir()) == [path]


def test_a_disk_that_takes_nothing_repeats_nothing(tmp_path, caplog):
    """The place goes on in memory, also when the source starts again, and is written later."""
    (tmp_path / "state").write_text("a file in the way")
    path = tmp_path / "state" / "place.json"
    checkpoint = Checkpoint(path, Place)
    with pytest.raises(Unavailable, match="Not a directory"):
        checkpoint.load()
    (tmp_path / "state").unlink()
    assert checkpoint.load() == {}
    (tmp_path / "state").write_text("a file in the way")
    for line in range(3):
        assert checkpoint.save({"a": Place(line)})
        assert not checkpoint.save({"a": Place(line)})
        assert checkpoint.load() == {"a": Place(line)}
    assert caplog.text.count("the place is only in memory") == 1
    (tmp_path / "state").unlink()
    assert not checkpoint.save({"a": Place(2)})
    assert Checkpoint(path, Place).load() == {"a": Place(2)}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 1}', '{"a": {"line": "x"}}'])
def test_a_damaged_file_is_told(tmp_path, text):
    """Beginning anew in silence would count everything twice."""
    path = tmp_path / "place.json"
    path.write_text(text)
    with pytest.raises(Unavailable, match="is damaged; remove it to begin anew"):
        Checkpoint(path, Place).load()


def test_a_mark_that_was_counted_is_later_than_the_file(tmp_path):
    """Counted, and killed before the place was saved: it goes on after the mark."""
    path = tmp_path / "place.json"
    checkpoint = Checkpoint(path, Place)
    checkpoint.load()
    mark = checkpoint.mark({"a": Place(5)})
    again = Checkpoint(path, Place)
    again.resume(mark)
    assert again.load() == {"a": Place(5)}
    # The next marks and places follow it.
    later = again.mark({"a": Place(6)})
    assert again.save({"a": Place(6)})
    for known in (mark, later, None, b"{}", b"\xff"):
        third = Checkpoint(path, Place)
        third.resume(known)
        assert third.load() == {"a": Place(6)}
    assert again.key == third.key == "place"


def test_a_source_that_fails_after_it_was_counted_repeats_nothing(tmp_path):
    """The daemon starts it again in the same process: what it had in memory is older too."""
    checkpoint = Checkpoint(tmp_path / "place.json", Place)
    checkpoint.load()
    checkpoint.save({"a": Place(1)})
    checkpoint.resume(checkpoint.mark({"a": Place(2)}))
    assert checkpoint.load() == {"a": Place(2)}


def test_a_file_that_was_removed_begins_anew(tmp_path):
    """That is how an operator says so; marks of before mean nothing then."""
    path = tmp_path / "place.json"
    checkpoint = Checkpoint(path, Place)
    checkpoint.load()
    mark = checkpoint.mark({"a": Place(5)})
    path.unlink()
    anew = Checkpoint(path, Place)
    anew.resume(mark)
    assert anew.load() == {}


def test_a_file_of_a_release_without_marks_is_read(tmp_path):
    """An update repeats nothing."""
    path = tmp_path / "place.json"
    path.write_bytes(msgspec.json.encode({"a": Place(7)}))
    checkpoint = Checkpoint(path, Place)
    assert checkpoint.load() == {"a": Place(7)}
    mark = checkpoint.mark({"a": Place(8)})
    again = Checkpoint(path, Place)
    assert again.load() == {"a": Place(7)}
    again.resume(mark)
    assert again.load() == {"a": Place(8)}
