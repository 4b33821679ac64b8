"""Files that others on the machine could read or change."""

import pytest

from guard.relay.exposed import changeable, readable


@pytest.fixture
def path(tmp_path):
    """A file in a folder of its own."""
    (tmp_path / "etc").mkdir(mode=0o755)
    path = tmp_path / "etc/policy.py"
    path.touch()
    path.chmod(0o640)
    return path


def test_a_file_of_the_owner_and_a_group_is_no_matter(path):
    """Nor is one that is not there, which is another's fault to tell."""
    assert changeable(path) == readable(path) == []
    assert changeable(path.with_name("none")) == readable(path.with_name("none")) == []


def test_what_anybody_may_read_is_said(path):
    """Hashes can be guessed at leisure by whoever has them."""
    path.chmod(0o644)
    assert [fault.file for fault in readable(path)] == [str(path)]
    assert changeable(path) == []


def test_what_anybody_may_change_is_said(path):
    """The file, or its folder: policy.py runs with the rights of Guard."""
    path.chmod(0o642)
    assert ["change it" in fault.message for fault in changeable(path)] == [True]
    path.chmod(0o640)
    path.parent.chmod(0o757)
    assert ["in its place" in fault.message for fault in changeable(path)] == [True]
    path.parent.chmod(0o1757)
    assert changeable(path) == []
