"""Names and their addresses, kept."""

import pytest

from guard.lib.networks import parse_address
from guard.protect.names import load, save


def test_names_are_read_back_as_they_were_written(tmp_path, caplog):
    """By rename, nothing left behind; a disk that does not take them is said."""
    path = tmp_path / "state" / "names.json"
    held = {"home.example": (parse_address("185.4.0.7"), parse_address("2a03::7")), "b.example": ()}
    assert load(path) == {}
    save(path, held)
    assert load(path) == held
    assert [p.name for p in path.parent.iterdir()] == ["names.json"]
    save(path / "below", held)
    assert "cannot keep" in caplog.text


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', '{"a": ["x"]}', '{"a": [1]}'])
def test_a_file_that_is_none_is_passed_over(tmp_path, caplog, text):
    """With a line in the log."""
    path = tmp_path / "names.json"
    path.write_text(text)
    assert load(path) == {}
    assert "passed over" in caplog.text
