"""Settings that are no fault and surprise."""

from guard.lib.networks import parse_network
from guard.protect.allow import parse_allowed
from guard.protect.settings import ProtectSettings
from guard.protect.traps import traps

net = parse_network


def test_ordinary_settings_have_none():
    """Defaults, and an allow list of one's own."""
    settings = ProtectSettings(allow=(parse_allowed("185.4.0.0/16"), parse_allowed("a.example")))
    assert list(traps(settings, [net("10.0.0.0/8"), net("::1")])) == []


def test_each_trap_is_named_with_its_key(tmp_path):
    """Half the Internet allowed, a file that is missing, shields that are down."""
    settings = ProtectSettings(
        allow=(parse_allowed("185.4.0.1"), parse_allowed("0.0.0.0/1")),
        proxies=(net("2000::/3"),),
        allow_files=(tmp_path / "none",),
        senders=False,
        reserved=False,
    )
    found = dict(traps(settings, [net("0.0.0.0/0")]))
    assert set(found) == {
        "protect.allow[1]",
        "protect.proxies",
        "listener.relay_hosts",
        "protect.allow_files",
        "protect.senders",
        "protect.reserved",
    }
    assert "0.0.0.0/0 may relay" in found["listener.relay_hosts"]
