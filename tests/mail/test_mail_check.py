"""Files that `[queue]` names are tried by `guard check`."""

from pathlib import Path

import pytest

from guard.mail.check import check_queues
from guard.mail.settings import QueueSettings
from guard.roles import ConfigError


def test_all_faults_at_once(tmp_path: Path):
    """Missing, empty, not text, no certificate: each with its key."""
    empty, odd, gone = tmp_path / "empty", tmp_path / "odd", tmp_path / "gone"
    empty.write_text("\n")
    odd.write_bytes(b"\xff")
    queues = {
        "a.test": QueueSettings(username="x", password_file=gone, tls_ca=gone),
        "b.test": QueueSettings(username="x", password_file=empty, tls_ca=empty),
        "default": QueueSettings(username="x", password_file=odd),
    }
    with pytest.raises(ConfigError) as error:
        check_queues(queues, "guard.toml")
    assert [str(fault) for fault in error.value.faults] == [
        f'guard.toml: queue."a.test".password_file: {gone}: No such file or directory',
        f'guard.toml: queue."a.test".tls_ca: {gone}: No such file or directory',
        f'guard.toml: queue."b.test".password_file: {empty}: is empty',
        f'guard.toml: queue."b.test".tls_ca: {empty}: has no certificate',
        f'guard.toml: queue."default".password_file: {odd}: is not text',
    ]


def test_nothing_wrong(tmp_path: Path):
    """A password is all it takes."""
    (tmp_path / "secret").write_text("x\n")
    check_queues({"a.test": QueueSettings(username="x", password_file=tmp_path / "secret")}, "")
    check_queues({}, "")
