"""Where state is when nobody says: the service and its commands must mean the same place."""

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from guard.stores import settings
from guard.stores.settings import StateSettings, default_state_dir


@pytest.fixture
def service(monkeypatch) -> Iterator[Path]:
    """The folder of a service, in a place of the test; nothing else is told."""
    with tempfile.TemporaryDirectory(prefix="guard-") as short:  # a socket's path has 107 bytes
        yield _told(Path(short), monkeypatch)


def _told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(settings, "SERVICE", tmp_path / "guard")
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "guard"


def test_systemd_tells_the_service(service, monkeypatch):
    """Its own directory, or the first of several; that of another unit is not Guard's."""
    monkeypatch.setenv("STATE_DIRECTORY", f"{service}:/var/lib/more")
    assert default_state_dir() == service
    own = service.parent / "home" / ".local" / "state" / "guard"
    for other in ("/var/lib/fail2ban", "", "guard"):
        monkeypatch.setenv("STATE_DIRECTORY", other)
        assert default_state_dir() == own


def test_root_means_the_service_where_there_is_one(service, monkeypatch):
    """Everybody else his own, and root too before one was installed, or when he says so."""
    own = service.parent / "home" / ".local" / "state" / "guard"
    for user in (0, 1000):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        assert default_state_dir() == own
    service.mkdir()
    assert default_state_dir() == own
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_state_dir() == service
    monkeypatch.setenv("XDG_STATE_HOME", "/elsewhere")
    assert default_state_dir() == Path("/elsewhere/guard")


def test_commands_of_others_ask_the_service(service, monkeypatch):
    """Their own daemon comes first; what guard.toml names is never left for another place."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    own, named = StateSettings(), StateSettings(socket=service.parent / "s")
    elsewhere = StateSettings(dir=service.parent / "state")
    assert own.meeting == own.control
    service.mkdir()
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(service / "guard.sock"))
    assert own.meeting == service / "guard.sock" != own.control
    assert named.meeting == named.control == service.parent / "s"
    assert elsewhere.meeting == elsewhere.control
    own.dir.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(own.control))
    assert own.meeting == own.control
