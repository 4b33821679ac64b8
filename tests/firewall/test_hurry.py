"""What is begun in a hurry is what a step would have done, and no failure of it stays."""

import time

import pytest
from netns import World, inside

from guard.events import Block, Claim
from guard.firewall.dryrun import DryRun
from guard.firewall.groups import groups_of, sorter
from guard.firewall.mirror import Mirror
from guard.firewall.separate import separate
from guard.firewall.settings import FirewallSettings
from guard.lib.networks import Network
from guard.lib.networks import parse_network as net
from guard.roles import Unavailable
from guard.stores.embedded_ledger import EmbeddedLedger

NOW = 1000.0
A, B, C = net("192.0.2.10"), net("198.51.100.0/24"), net("2001:db8:1::/64")


class Beside(DryRun):
    """A dry run that does what is posted when it is settled, and may fail at it."""

    def __init__(self) -> None:
        super().__init__()
        self.posted: list[tuple] = []
        self.applied: list[tuple] = []
        self.fails = False

    def apply(self, block, release, now):
        """As a dry run does, and remembers it."""
        self.applied.append((block, release))
        super().apply(block, release, now)

    def post(self, block, release, now):
        """Keeps it."""
        self.posted.append((block, release, now))

    def settle(self):
        """Does all of it, or none."""
        posted, self.posted = self.posted, []
        if self.fails:
            raise Unavailable("no memory")
        for change in posted:
            self.apply(*change)


class Shield:
    """A Protection that changes."""

    version = 0
    networks: frozenset[Network] = frozenset()

    def protects(self, network: Network) -> str | None:
        """Whether it is one of them."""
        return "shielded" if network in self.networks else None


def setting(firewall):
    """A ledger, a mirror that has begun, and its shield."""
    ledger, shield = EmbeddedLedger(None, 3600.0), Shield()
    mirror = Mirror(ledger, firewall, shield)
    mirror.start(NOW)
    return ledger, mirror, shield


def claims(*networks, until=None):
    """Of a jail, each."""
    return [Claim(n, "jail:x", "why", NOW, until) for n in networks]


def test_what_is_hurried_is_posted_at_once_and_once():
    """Each is blocked before it is claimed; the step has nothing left to tell."""
    ledger, mirror, _ = setting(firewall := Beside())
    mirror.hurry(claims(A), NOW)
    mirror.hurry(claims(B, until=NOW + 600), NOW)
    assert [[b.network for b in block] for block, _, _ in firewall.posted] == [[A], [B]]
    assert firewall.blocked(NOW) == {}
    ledger.claim(claims(A), NOW)
    ledger.claim(claims(B, until=NOW + 600), NOW)
    mirror.step(NOW)
    assert firewall.blocked(NOW) == {A: None, B: NOW + 600}
    assert len(firewall.applied) == 2
    ledger.withdraw(A, None, NOW)
    mirror.step(NOW)
    assert firewall.blocked(NOW) == {B: NOW + 600}


def test_at_last_a_hurry_waits_until_all_is_blocked():
    """Nobody is told of a ban that is not in the kernel; a failure is the next step's to mend."""
    ledger, mirror, _ = setting(firewall := Beside())
    mirror.hurry(claims(A), NOW)
    mirror.hurried()
    assert firewall.blocked(NOW) == {A: None}
    mirror.hurry(claims(B), NOW)
    firewall.fails = True
    with pytest.raises(Unavailable):
        mirror.hurried()
    ledger.claim(claims(A, B), NOW)
    mirror.step(NOW)
    assert firewall.blocked(NOW) == {A: None, B: None}


def test_what_came_of_no_claim_is_released_by_the_next_step():
    """Another host was faster, or the ledger did not take it."""
    ledger, mirror, _ = setting(firewall := Beside())
    mirror.hurry(claims(A, B), NOW)
    ledger.claim(claims(B), NOW)
    mirror.step(NOW)
    assert firewall.blocked(NOW) == {B: None}
    mirror.step(NOW)
    assert len(firewall.applied) == 2


def test_what_the_ledger_says_otherwise_is_told_again():
    """Another claim came meanwhile, with another end."""
    ledger, mirror, _ = setting(firewall := Beside())
    mirror.hurry(claims(A, until=NOW + 600), NOW)
    ledger.claim([*claims(A, until=NOW + 600), Claim(A, "feed:drop", "", NOW, None)], NOW)
    mirror.step(NOW)
    assert firewall.blocked(NOW) == {A: None}


def test_nothing_is_forgotten_while_the_ledger_does_not_answer(monkeypatch):
    """A step that fails leaves what was hurried for the next one to look at."""
    ledger, mirror, _ = setting(firewall := Beside())
    mirror.hurry(claims(A), NOW)
    with monkeypatch.context() as patched:
        patched.setattr(ledger, "past", lambda *_: (_ for _ in ()).throw(Unavailable("gone")))
        with pytest.raises(Unavailable):
            mirror.step(NOW)
    mirror.step(NOW)
    assert firewall.blocked(NOW) == {}


def test_an_end_beyond_all_ages_is_hurried_as_for_ever():
    """As the step would tell it; then it is not told twice."""
    ledger, mirror, _ = setting(firewall := Beside())
    mirror.hurry(claims(A, until=1e12), NOW)
    ledger.claim(claims(A, until=1e12), NOW)
    mirror.step(NOW)
    assert firewall.applied == [([Block(A, None)], ())]


def test_a_firewall_that_cannot_be_told_ahead_is_told_by_the_step():
    """Nothing is lost by a hurry that does nothing."""
    ledger, mirror, _ = setting(firewall := DryRun())
    mirror.hurry(claims(A), NOW)
    assert firewall.blocked(NOW) == {}
    ledger.claim(claims(A), NOW)
    mirror.step(NOW)
    assert firewall.blocked(NOW) == {A: None}


def test_when_what_was_posted_fails_the_next_step_lays_everything():
    """The mirror does not know what the firewall holds, and does not stay in doubt."""
    ledger, mirror, _ = setting(firewall := Beside())
    mirror.hurry(claims(A, C), NOW)
    firewall.fails = True
    ledger.claim(claims(A, B), NOW)
    mirror.step(NOW)
    assert firewall.blocked(NOW) == {A: None, B: None}


def test_nothing_is_hurried_past_a_change_of_protection():
    """Whom somebody began to protect is not blocked, not even for the moment until the step."""
    ledger, mirror, shield = setting(firewall := Beside())
    shield.networks, shield.version = frozenset([A]), 1
    mirror.hurry(claims(A, B), NOW)
    assert firewall.posted == []
    ledger.claim(claims(A, B), NOW)
    mirror.step(NOW)
    assert firewall.blocked(NOW) == {B: None}
    mirror.hurry(claims(A, C), NOW)
    assert [b.network for b in firewall.posted[0][0]] == [C]


def test_a_ledger_that_forgot_what_it_said_is_laid_anew():
    """Whom the kernel heard of, and the disk did not take, is released."""
    ledger, mirror, _ = setting(firewall := Beside())
    mirror.hurry(claims(A), NOW)
    ledger._life, ledger._book = "another", ledger._load()  # as after a write that failed
    mirror.step(NOW)
    assert firewall.blocked(NOW) == {}


@pytest.mark.root
@pytest.mark.parametrize("backend", ["nftables", "iptables", "blackhole"])
def test_packets_are_dropped_while_the_caller_goes_on(world: World, backend: str):
    """By the firewall's process: groups, prefixes and addresses, before anybody asks for it."""
    with inside(world.server):
        firewall = separate(FirewallSettings(backend=backend), groups_of(["drop"])).firewall
        ledger = EmbeddedLedger(None, 3600.0)
        mirror = Mirror(ledger, firewall, Shield(), sorter(["drop"]))
        now = time.time()
        mirror.start(now)
        ledger.claim([Claim(B, "feed:drop", "", now, now + 600)], now)
        hurried = [Claim(A, "jail:x", "", now, now + 600), Claim(C, "jail:x", "", now, None)]
        mirror.hurry(hurried, now)
        many = [Claim(Network(4, 0x0B000000 + n, 32), "jail:x", "", now, None) for n in range(900)]
        for at in range(0, 900, 100):
            mirror.hurry(many[at : at + 100], now)
        ledger.claim([*hurried, *many], now)
        mirror.step(now)
        assert not world.offender.connects(world.v4)
        held = firewall.blocked(now)
        if hasattr(firewall, "group"):
            held |= firewall.group("drop").blocked(now)
        assert held.keys() == {A, B, C, *(each.network for each in many)}
        report = mirror.reconcile(now)
        assert (report.missing, report.foreign) == (0, 0)
        firewall.close()


@pytest.mark.root
def test_a_table_that_somebody_removed_is_laid_anew_by_the_step_after_a_hurry(world: World):
    """What was posted is refused by the kernel; everybody is blocked when the step returns."""
    with inside(world.server):
        firewall = separate(FirewallSettings(backend="nftables")).firewall
        ledger, mirror, _ = setting(firewall)
        ledger.claim(claims(B), NOW)
        mirror.step(NOW)
        world.run("nft", "flush", "ruleset")
        mirror.hurry(claims(A), NOW)
        ledger.claim(claims(A), NOW)
        mirror.step(NOW)
        assert firewall.blocked(NOW) == {A: None, B: None}
        firewall.apply([Block(C, None)], [], NOW)
        assert firewall.blocked(NOW) == {A: None, B: None, C: None}
        firewall.close()
