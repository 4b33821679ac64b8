"""`guard check` says beforehand what would surprise of a firewall."""

import sys
from pathlib import Path

import pytest

from guard.firewall.check import check_firewall
from guard.firewall.settings import FirewallSettings

SERVED = (("listener[0].listen", 25), ("listener[1].listen", 2525))


def warned(served=(), **keys) -> dict[str, str]:
    """The warnings about these settings, by key."""
    return {f.key: f.message for f in check_firewall(FirewallSettings(**keys), served, "g.toml")}


@pytest.mark.parametrize("backend", ["auto", "nftables", "iptables"])
def test_a_listener_that_the_banned_still_reach_is_named(backend: str):
    """A port that is not among those closed; with "all", and where ports do not count, none."""
    found = warned(SERVED, backend=backend, ports=(25,))
    assert "2525" in found["listener[1].listen"]
    assert "listener[0].listen" not in found
    assert not any("listener" in key for key in warned(SERVED, backend=backend, ports="all"))
    assert not warned(SERVED)


def test_a_program_that_cannot_be_run_is_named(tmp_path: Path):
    """Missing, or not executable; one that can be run is none."""
    program = tmp_path / "fw"
    for command in ("/no/such", str(program)):
        assert command in warned(backend="exec", command=(command,))["firewall.command"]
        program.write_text("")
    program.chmod(0o755)
    assert not warned(backend="exec", command=(str(program),))


def test_what_a_back_end_lacks_is_named(monkeypatch: pytest.MonkeyPatch):
    """With what to install."""
    monkeypatch.setattr("guard.firewall.commands.find", lambda program: None)
    assert "package nftables" in warned(backend="nftables")["firewall.backend"]
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "iptc", raising=False)
    monkeypatch.setattr(sys, "path_importer_cache", {})
    assert "guard-smtp[iptables]" in warned(backend="iptables")["firewall.backend"]


def test_null_routes_say_what_they_are(monkeypatch: pytest.MonkeyPatch):
    """Ports that were named do not count, and rp_filter may be off; each for itself."""
    for filtered, ports, keys in (
        (True, (25, 465, 587), set()),
        (True, (25,), {"firewall.ports"}),
        (False, "all", {"firewall.backend"}),
    ):
        monkeypatch.setattr("guard.firewall.check.reverse_path_filtered", lambda f=filtered: f)
        monkeypatch.setattr("guard.firewall.check._SYSTEMD", Path("/no/such"))
        assert set(warned(backend="blackhole", ports=ports)) == keys


def test_null_routes_want_a_timer(monkeypatch, tmp_path: Path):
    """Where systemd runs that could have one, and no other back end needs it."""
    monkeypatch.setattr("guard.firewall.check.reverse_path_filtered", lambda: True)
    monkeypatch.setattr("guard.firewall.check._SYSTEMD", tmp_path)
    monkeypatch.setattr("guard.firewall.check._TIMER", tmp_path / "guard-expire.timer")
    assert "guard-expire.timer" in warned(backend="blackhole")["firewall.backend"]
    assert not warned(backend="dry-run")
    (tmp_path / "guard-expire.timer").touch()
    assert not warned(backend="blackhole")


def test_a_device_that_is_not_there_is_named():
    """It may come later: a warning."""
    keys = {"backend": "nftables", "hook": "ingress", "forwarded": True}
    found = warned(devices=("lo", "nosuch0"), **keys)
    assert "nosuch0" in found["firewall.devices"]
