"""Entries are there wholly or not at all, whatever ends the process or damages the file."""

import pytest

from guard.roles import Forbidden, Refused
from guard.stores.frames import Frames

MAGIC = b"guard test 2\n"


def filled(path, *payloads):
    frames = Frames(path, MAGIC)
    frames.append(*payloads)
    frames.close()
    return path.read_bytes()


def read(path):
    frames = Frames(path, MAGIC)
    try:
        return list(frames.read(bytes))
    finally:
        frames.close()


def test_any_cut_leaves_the_entries_before_it(tmp_path):
    """And what is written then follows them."""
    path, payloads = tmp_path / "f", [b"one", b"", b"three" * 9]
    data = filled(path, *payloads)
    for end in range(len(MAGIC), len(data) + 1):
        path.write_bytes(data[:end])
        found = read(path)
        assert found == payloads[: len(found)]
        assert (len(found) == 3) is (end == len(data))
        filled(path, b"next")
        assert read(path) == [*found, b"next"]


def test_any_changed_byte_is_found(tmp_path):
    """What comes before it stays."""
    path, payloads = tmp_path / "f", [b"one", b"two"]
    data = filled(path, *payloads)
    for at in range(len(MAGIC), len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert read(path) in ([], payloads[:1])


def test_an_entry_that_says_nothing_is_damage(tmp_path):
    """The reader may refuse what is whole."""
    path = tmp_path / "f"
    filled(path, b"1", b"x", b"2")
    frames = Frames(path, MAGIC)
    assert list(frames.read(int)) == [1]
    frames.close()
    assert read(path) == [b"1"]


def test_a_file_of_ours_only(tmp_path):
    """One of an older release is taken up; any other is left as it is."""
    path = tmp_path / "f"
    data = filled(path, b"one").replace(b"test 2", b"test 1")
    path.write_bytes(data)
    with pytest.raises(Refused, match="another release"):
        Frames(path, MAGIC)
    assert path.read_bytes() == data
    frames = Frames(path, MAGIC, [b"guard test 1\n"])
    assert list(frames.read(bytes)) == [b"one"]
    frames.close()
    assert read(path) == [b"one"]
    with pytest.raises(Forbidden):
        Frames(tmp_path, MAGIC)
