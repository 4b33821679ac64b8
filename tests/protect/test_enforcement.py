"""Protection as the firewall sees it: carved, paused, un-banned at once; also in the kernel."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.events import Claim
from guard.firewall.dryrun import DryRun
from guard.firewall.mirror import Mirror
from guard.lib.networks import Network, parse_network
from guard.lib.prefixes import Prefixes
from guard.protect.pause import Pause
from guard.protect.protection import Protectors
from guard.stores.embedded_ledger import EmbeddedLedger

net = parse_network
NOW = 1000.0
BASE = net("185.0.0.0/24")


class Setting:
    """A ledger, a protection that can be paused, a firewall, and the mirror between them."""

    def __init__(self, state, firewall=None):
        self.ledger = EmbeddedLedger(None, 3600.0)
        self.protectors, self.firewall = Protectors(), firewall or DryRun()
        self.pause = Pause(self.protectors, state)
        self.mirror = Mirror(self.ledger, self.firewall, self.pause)
        self.mirror.start(NOW)

    def allow(self, *networks):
        self.protectors.replace("allow", [(network, "allow") for network in networks])

    def claim(self, network, source="manual"):
        self.ledger.claim([Claim(network, source, "why", NOW, None)], NOW)

    def blocked(self):
        self.mirror.step(NOW)
        return Prefixes(self.firewall.blocked(NOW))

    def right(self):
        """What is to be blocked, worked out afresh."""
        claims = {claim.network for claim in self.ledger.claims(NOW)}
        return Prefixes(piece for network in claims for piece in self.pause.carve(network))


_small = st.builds(
    lambda at, length: Network(4, (BASE.value + at) >> (8 - length) << (8 - length), 24 + length),
    st.integers(0, 255),
    st.integers(0, 8),
)
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("claim"), _small, st.sampled_from(["manual", "jail:a"])),
        st.tuples(st.just("withdraw"), _small),
        st.tuples(st.just("allow"), st.lists(_small, max_size=4)),
        st.tuples(st.just("pause")),
        st.tuples(st.just("resume")),
    ),
    max_size=14,
)


@given(_steps)
@settings(max_examples=150, deadline=None)
def test_whatever_happens_the_firewall_is_the_ledger_less_the_protected(tmp_path_factory, steps):
    """Claims, un-bans, changes of the allow list and pauses, in any order, step by step."""
    setting = Setting(tmp_path_factory.mktemp("state"))
    for name, *arguments in steps:
        if name == "claim":
            setting.claim(*arguments)
        elif name == "withdraw":
            setting.ledger.withdraw(arguments[0], None, NOW)
        elif name == "allow":
            setting.allow(*arguments[0])
        elif name == "pause":
            setting.pause.pause(math.inf)
        else:
            setting.pause.resume()
        assert setting.blocked() == setting.right()
    assert setting.mirror.reconcile(NOW).clean


def test_a_range_is_carved_around_an_allowed_address_and_heals(tmp_path):
    """The neighbours stay blocked; the un-ban of the range is one; without `allow` it is whole."""
    setting = Setting(tmp_path)
    setting.claim(BASE)
    assert setting.blocked() == Prefixes([BASE])
    setting.allow(net("185.0.0.5"))
    assert setting.blocked() == Prefixes([BASE]).minus(Prefixes([net("185.0.0.5")]))
    assert setting.mirror.spared == 1
    setting.allow()
    assert setting.blocked() == Prefixes([BASE])
    setting.allow(net("185.0.0.5"))
    setting.blocked()
    setting.ledger.withdraw(BASE, None, NOW)
    assert setting.blocked() == Prefixes()


def test_a_pause_outlives_a_restart_and_ends_in_time(tmp_path, caplog):
    """Kept in a file; `expire` ends it; a file that is none is no pause."""
    setting = Setting(tmp_path)
    setting.claim(BASE)
    assert setting.blocked() == Prefixes([BASE])
    setting.pause.pause(NOW + 600)
    assert setting.blocked() == Prefixes()
    assert setting.pause.said(NOW) == "paused, nobody is blocked here: 10m"
    again = Pause(setting.protectors, tmp_path)
    assert again.until == NOW + 600
    again.expire(NOW + 599)
    assert again.protects(BASE) == "enforcement is paused"
    again.expire(NOW + 600)
    assert again.protects(BASE) is None
    assert again.said(NOW) == ""
    assert not (tmp_path / "paused").exists()
    assert not again.resume()
    (tmp_path / "paused").write_text("soon")
    assert Pause(setting.protectors, tmp_path).until == 0
    assert "taken as no pause" in caplog.text


def test_a_pause_of_another_process_is_followed(tmp_path):
    """A listener alone sees the daemon's file come and go, and its time run out."""
    setting = Setting(tmp_path)
    other = Pause(setting.protectors, tmp_path)
    version = other.version
    other.look(NOW)
    assert other.version == version
    setting.pause.pause(NOW + 600)
    other.look(NOW)
    assert other.protects(BASE) == "enforcement is paused"
    assert other.version != version
    other.look(NOW + 600)
    assert other.protects(BASE) is None
    assert (tmp_path / "paused").exists()
    setting.pause.pause(NOW + 900)
    other.look(NOW + 601)
    setting.pause.resume()
    other.look(NOW + 602)
    assert other.protects(BASE) is None


@pytest.mark.parametrize("count", [20_000])
def test_a_pause_of_many_bans_is_one_replacement(tmp_path, count):
    """Not a release for each."""
    setting = Setting(tmp_path)
    setting.ledger.replace(
        "feed:x",
        [Claim(Network(4, (11 << 24) + i, 32), "feed:x", "", NOW, None) for i in range(count)],
        NOW,
    )
    assert setting.blocked().addresses(4) == count
    setting.pause.pause(math.inf)
    assert not setting.blocked()
    setting.pause.resume()
    assert setting.blocked().addresses(4) == count
