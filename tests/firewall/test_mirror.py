"""The firewall is what the ledger says, whatever happens to either."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from netns import World, inside

from guard.events import Block, Claim
from guard.firewall.blackhole import Blackhole
from guard.firewall.dryrun import DryRun
from guard.firewall.groups import groups_of, sorter
from guard.firewall.intervals import SLACK
from guard.firewall.iptables import IPTables
from guard.firewall.mirror import Mirror, Report
from guard.firewall.nftables import NFTables
from guard.firewall.share import difference, ends
from guard.firewall.xtables import Legacy, Nft
from guard.lib.networks import Network
from guard.lib.networks import parse_network as net
from guard.roles import Firewall, Unavailable
from guard.stores.embedded_ledger import EmbeddedLedger

NOW = 1000.0
A, B, C = net("192.0.2.10"), net("198.51.100.0/24"), net("2001:db8:1::/64")


class Shield:
    """A real, if small, Protection: a set of networks, with a version."""

    def __init__(self) -> None:
        self.networks: set[Network] = set()
        self.version = 0

    def protects(self, network: Network) -> str | None:
        """Protects what overlaps one of ours."""
        return "shielded" if any(network.overlaps(each) for each in self.networks) else None

    def cover(self, *networks: Network) -> None:
        """Changes all that is protected."""
        self.networks, self.version = set(networks), self.version + 1


class Setting:
    """A ledger, a dry-run firewall, a shield and the mirror between them."""

    def __init__(self, firewall: Firewall | None = None) -> None:
        self.ledger = EmbeddedLedger(None, 3600.0)
        self.firewall = firewall or DryRun()
        self.shield = Shield()
        self.mirror = Mirror(self.ledger, self.firewall, self.shield)

    def claim(self, network: Network, source: str = "jail:x", until: float | None = None) -> None:
        """Has `source` claim `network`."""
        self.ledger.claim([Claim(network, source, "why", NOW, until)], NOW)


def test_the_last_end_of_several_claims_counts():
    """For ever is later than any time."""
    claims = [Claim(A, "jail:a", "", 1, 50.0), Claim(A, "jail:b", "", 1, 90.0)]
    assert ends(claims) == {A: 90.0}
    assert ends([*claims, Claim(A, "manual", "", 1, None)]) == {A: None}


_NETWORKS = st.sampled_from([net(f"10.0.0.{n}") for n in range(8)])
_ENDS = st.one_of(st.none(), st.floats(NOW - 50, NOW + 500))


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(_NETWORKS, _ENDS), st.dictionaries(_NETWORKS, _ENDS))
def test_applying_the_difference_leaves_none(wanted, present):
    """Whatever is present, one change makes it what is wanted, and then nothing is to do."""
    present = {n: u for n, u in present.items() if u is None or u > NOW}
    missing, foreign = difference(wanted, present, NOW)
    after = {n: u for n, u in present.items() if n not in foreign} | dict(missing)
    assert difference(wanted, after, NOW) == ([], [])
    for network, until in wanted.items():
        if until is None or until > NOW + SLACK:
            assert network in after
    for network in after.keys() - wanted.keys():
        assert after[network] <= NOW + SLACK, "what is about to end may stay until then"


def test_what_the_kernel_is_about_to_end_is_no_difference():
    """The ledger's clock may be a moment ahead of the kernel's."""
    assert difference({}, {A: NOW + 1}, NOW) == ([], [])
    assert difference({A: NOW + 1}, {}, NOW) == ([], [])
    assert difference({}, {A: NOW + 60, B: None}, NOW).foreign == [A, B]


def test_a_back_end_that_counts_only_so_far_is_laid_again_in_time():
    """An end beyond the ceiling is no difference until half the ceiling has passed."""
    wanted = {A: NOW + 10_000}
    assert difference(wanted, {A: NOW + 1000}, NOW, longest=1000.0) == ([], [])
    assert difference(wanted, {A: NOW + 400}, NOW, longest=1000.0).missing == [
        Block(A, NOW + 10_000)
    ]
    assert difference(wanted, {A: None}, NOW, longest=1000.0).missing
    assert difference({A: None}, {A: None}, NOW, longest=1000.0) == ([], [])


def test_start_lays_everything_and_nothing_else():
    """What an earlier run left and nobody claims is gone."""
    made = Setting()
    made.firewall.apply([Block(B, None)], [], NOW)
    made.claim(A, until=NOW + 60)
    made.claim(C)
    made.mirror.start(NOW)
    assert made.firewall.blocked(NOW) == {A: NOW + 60, C: None}


def test_a_network_is_released_with_its_last_claim():
    """Two sources claim; the block follows the one that is left."""
    made = Setting()
    made.mirror.start(NOW)
    made.claim(A, "jail:x", NOW + 60)
    made.claim(A, "feed:y")
    made.mirror.step(NOW)
    assert made.firewall.blocked(NOW) == {A: None}
    made.ledger.withdraw(A, "feed:y", NOW)
    made.mirror.step(NOW)
    assert made.firewall.blocked(NOW) == {A: NOW + 60}
    made.ledger.withdraw(A, "jail:x", NOW)
    made.mirror.step(NOW)
    assert made.firewall.blocked(NOW) == {}


def test_step_before_start_starts():
    """Nobody has to remember the order."""
    made = Setting()
    made.claim(A)
    made.mirror.step(NOW)
    assert made.firewall.blocked(NOW) == {A: None}


def test_who_is_protected_is_not_blocked_and_a_change_of_protection_counts_at_once():
    """Protecting releases at the next step, giving it up blocks again."""
    made = Setting()
    made.shield.cover(net("192.0.2.0/28"))
    for network in (A, B):
        made.claim(network)
    made.mirror.start(NOW)
    assert made.firewall.blocked(NOW) == {B: None}
    made.claim(net("192.0.2.11"))
    made.mirror.step(NOW)
    assert made.firewall.blocked(NOW) == {B: None}
    made.shield.cover(net("198.51.100.7"))
    made.mirror.step(NOW)
    assert made.firewall.blocked(NOW) == {A: None, net("192.0.2.11"): None}
    made.shield.cover()
    made.mirror.step(NOW)
    assert made.firewall.blocked(NOW) == {A: None, net("192.0.2.11"): None, B: None}


def test_more_changes_than_the_ledger_remembers():
    """When the ledger cannot say what changed, everything is laid anew."""
    made = Setting()
    made.mirror.start(NOW)
    many = [Claim(Network(4, n << 8, 32), "feed:big", "", NOW, None) for n in range(100_001)]
    made.ledger.replace("feed:big", many, NOW)
    made.mirror.step(NOW)
    assert len(made.firewall.blocked(NOW)) == 100_001


class Breaking(DryRun):
    """A dry-run that fails on demand, as a kernel without memory does."""

    failing = False

    def apply(self, block, release, now) -> None:
        """Fails, or does what DryRun does."""
        if self.failing:
            raise Unavailable("no memory")
        super().apply(block, release, now)


def test_after_a_failure_the_next_step_lays_everything():
    """What was lost in the failure is laid with all the rest."""
    made = Setting(Breaking())
    made.mirror.start(NOW)
    made.firewall.failing = True
    made.claim(A)
    assert not made.mirror.alarm
    with pytest.raises(Unavailable):
        made.mirror.step(NOW)
    assert made.mirror.alarm == "the kernel does not follow the ledger: no memory"
    made.firewall.failing = False
    made.firewall.replace([], NOW)
    made.mirror.step(NOW)
    assert made.firewall.blocked(NOW) == {A: None}
    assert not made.mirror.alarm


def test_reconcile_reports_what_it_repairs_and_alarms_when_it_lasts():
    """Missing and foreign are counted and put right; twice in a row is an alarm."""
    made = Setting()
    for network in (A, B):
        made.claim(network)
    made.mirror.start(NOW)
    assert made.mirror.reconcile(NOW) == Report(2, 2, 0, 0)
    for _ in range(2):
        assert not made.mirror.alarm
        made.firewall.apply([Block(C, None)], [A], NOW)
        assert made.mirror.reconcile(NOW) == Report(2, 2, 1, 1)
        assert made.firewall.blocked(NOW) == {A: None, B: None}
    assert "1 missing and 1 foreign of 2" in made.mirror.alarm
    assert made.mirror.reconcile(NOW).clean
    assert not made.mirror.alarm


@contextmanager
def mirrored(world: World, firewall: Firewall) -> Iterator[Setting]:
    """The same with a kernel; the thread is in the server's namespace."""
    with inside(world.server):
        made = Setting(firewall)
        made.mirror.start(time.time())
        yield made
        made.firewall.close()


KERNELS = [lambda: NFTables((25,)), lambda: IPTables((25,)), Blackhole]


@pytest.mark.root
@pytest.mark.parametrize("kernel", KERNELS, ids=["nftables", "iptables", "blackhole"])
def test_the_kernel_follows_the_ledger(world: World, kernel):
    """A claim drops the offender, its end lets it in, and the innocent never notice."""
    with mirrored(world, kernel()) as made:
        for network, address in ((A, world.v4), (C, world.v6)):
            made.claim(network)
            made.mirror.step(time.time())
            assert world.offender.dropped(address)
            assert world.innocent.connects(address)
            made.ledger.withdraw(network, None, NOW)
            made.mirror.step(time.time())
            assert world.offender.connects(address)


@pytest.mark.root
def test_a_back_end_without_timeouts_is_told_when_a_ban_is_over(world: World):
    """The mirror's step ends what no kernel timer ends."""
    with mirrored(world, Blackhole()) as made:
        end = time.time() + 60
        made.claim(A, until=end)
        made.mirror.step(time.time())
        assert made.mirror.reconcile(time.time())[:4] == (1, 1, 0, 0)
        assert world.offender.dropped(world.v4)
        made.mirror.step(end)
        assert world.offender.connects(world.v4)
        assert made.firewall.blocked(end) == {}


@pytest.mark.root
def test_dropped_packets_are_told_where_they_are_counted(world: World):
    """By set, for the status; a firewall that does not count tells nothing."""
    assert Setting().mirror.dropped() == {}
    with mirrored(world, NFTables((25,))) as made:
        made.claim(A)
        made.mirror.step(time.time())
        assert world.offender.dropped(world.v4)
        assert made.mirror.dropped()["v4_addresses"][0] > 0
        world.run("nft", "flush", "ruleset")
        assert made.mirror.dropped() == {}


@pytest.mark.root
def test_a_flushed_ruleset_is_laid_anew_at_the_next_step(world: World):
    """`nft flush ruleset` is noticed at once, not at the next reconcile."""
    with mirrored(world, NFTables((25,))) as made:
        made.claim(A)
        made.mirror.step(time.time())
        world.run("nft", "flush", "ruleset")
        assert world.offender.connects(world.v4)
        made.mirror.step(time.time())
        assert world.offender.dropped(world.v4)


@pytest.mark.root
@pytest.mark.parametrize(
    "damage",
    [
        "flush chain inet guard arrivals",
        "delete chain inet guard arrivals",
        "flush set inet guard v4_addresses",
        "insert rule inet guard blocked accept",
        "add table inet guard { flags dormant; }",
        "delete table inet guard",
    ],
)
def test_damage_to_the_table_is_repaired(world: World, damage: str):
    """Chains, rules, elements, the table itself: a reconcile finds it and puts it right."""
    with mirrored(world, NFTables((25,))) as made:
        made.claim(A)
        made.claim(B)
        made.mirror.step(time.time())
        world.run("nft", "-f", "-", given=damage + "\n")
        made.mirror.reconcile(time.time())
        assert world.offender.dropped(world.v4)
        assert set(made.firewall.blocked(time.time())) == {A, B}
        assert made.mirror.reconcile(time.time()) == Report(2, 2, 0, 0)


@pytest.mark.root
def test_a_change_elsewhere_in_nftables_costs_a_look_and_no_repair(world: World):
    """Another's table is none of our business, and our counts stay what they are."""
    with mirrored(world, NFTables((25,))) as made:
        made.claim(A)
        made.mirror.step(time.time())
        world.run("nft", "add", "table", "inet", "other")
        assert made.mirror.reconcile(time.time()) == Report(1, 1, 0, 0)
        world.run("nft", "add", "element", "inet", "guard", "v4_addresses", "{ 203.0.113.9 }")
        assert made.mirror.reconcile(time.time()) == Report(1, 2, 0, 1)
        assert set(made.firewall.blocked(time.time())) == {A}


@pytest.mark.root
def test_damage_to_the_ipsets_is_repaired(world: World):
    """Flushed sets, flushed chains and removed jumps are put right."""
    with mirrored(world, IPTables((25,))) as made:
        made.claim(A)
        made.claim(B)
        made.mirror.step(time.time())
        for damage in (
            ("ipset", "flush"),
            ("iptables-legacy", "-t", "raw", "-F", "PREROUTING"),
            ("iptables-legacy", "-t", "raw", "-F"),
        ):
            world.run(*damage)
            assert world.offender.connects(world.v4), damage
            assert not made.mirror.reconcile(time.time()).clean
            assert world.offender.dropped(world.v4), damage
            assert made.mirror.reconcile(time.time()) == Report(2, 2, 0, 0)
        world.run("iptables-legacy", "-t", "raw", "-F")
        world.run("iptables-legacy", "-t", "raw", "-X")
        world.run("ip6tables-legacy", "-t", "raw", "-F")
        world.run("ip6tables-legacy", "-t", "raw", "-X")
        world.run("ipset", "destroy")
        assert world.offender.connects(world.v4)
        assert not made.mirror.reconcile(time.time()).clean
        assert world.offender.dropped(world.v4)
        assert made.mirror.reconcile(time.time()) == Report(2, 2, 0, 0)


@pytest.mark.root
@pytest.mark.parametrize("kernel", KERNELS, ids=["nftables", "iptables", "blackhole"])
def test_a_clock_that_is_set_moves_no_end(world: World, kernel):
    """The kernel counts what is left; set an hour on or back, bans end when the ledger says."""
    now = time.time()
    with mirrored(world, kernel()) as made:
        made.claim(A, until=now + 1000)
        made.claim(C, until=now + 5000)
        made.mirror.step(now)
        made.mirror.reconcile(now)
        made.mirror.reconcile(now + 3600)
        assert made.firewall.blocked(now + 3600) == {C: pytest.approx(now + 5000, abs=5)}
        assert world.offender.connects(world.v4)
        made.claim(A, until=now + 1000)
        made.mirror.step(now)
        made.mirror.reconcile(now)
        found = made.firewall.blocked(now)
        assert found == {A: pytest.approx(now + 1000, abs=5), C: pytest.approx(now + 5000, abs=5)}


@pytest.mark.root
@pytest.mark.parametrize("kernel", KERNELS, ids=["nftables", "iptables", "blackhole"])
@pytest.mark.parametrize("years", [30, 600, 950])
def test_a_ban_for_longer_than_a_kernel_counts_is_no_difference(world: World, kernel, years: int):
    """Addresses and prefixes, laid at the start and later."""
    until = time.time() + years * 365 * 86400
    with mirrored(world, kernel()) as made:
        made.claim(A, until=until)
        made.claim(net("198.51.100.0/28"), until=until)
        made.mirror.step(time.time())
        assert made.mirror.reconcile(time.time()).clean
        made.mirror.start(time.time())
        world.run("nft", "add", "table", "inet", "mine")
        assert made.mirror.reconcile(time.time()).clean


@pytest.mark.root
def test_a_table_that_is_removed_again_and_again_is_an_alarm(world: World):
    """Repaired at once each time, so that no comparison finds anything; over when it is over."""
    with mirrored(world, NFTables((25,))) as made:
        made.claim(A)
        for _ in range(2):
            assert not made.mirror.alarm
            world.run("nft", "flush", "ruleset")
            made.mirror.step(time.time())
            assert world.offender.dropped(world.v4)
            assert made.mirror.reconcile(time.time()).clean
        assert "somebody removed" in made.mirror.alarm
        made.mirror.reconcile(time.time())
        assert not made.mirror.alarm


@pytest.mark.root
def test_what_many_feeds_list_is_counted_once_when_it_is_missing(world: World):
    """The set of all feeds together counts only when nothing else is missing."""
    feeds = ("one", "two", "three", "four")
    firewall = IPTables((25,), groups=groups_of(feeds))
    with inside(world.server):
        ledger = EmbeddedLedger(None, 3600.0)
        ledger.claim([Claim(A, "feed:one", "listed", NOW, None)], NOW)
        mirror = Mirror(ledger, firewall, Shield(), sorter(feeds))
        mirror.start(time.time())
        world.run("ipset", "flush")
        assert mirror.reconcile(time.time()) == Report(1, 0, 1, 0)
        world.run("ipset", "flush", "guard_v4_listed_a")
        assert mirror.reconcile(time.time()) == Report(1, 1, 1, 0)
        assert mirror.reconcile(time.time()) == Report(1, 1, 0, 0)
        firewall.close()


@pytest.mark.root
@pytest.mark.parametrize(("rules", "program"), [(Legacy, "iptables-legacy"), (Nft, "iptables-nft")])
def test_rules_that_somebody_flushed_are_back_at_the_next_glance(world: World, rules, program: str):
    """As firewalld flushes them whenever it reloads; nobody waits for the next comparison."""
    now = time.time()
    with mirrored(world, IPTables((25,), rules=rules())) as made:
        made.claim(A)
        made.mirror.step(now + 10)
        world.run(program, "-t", "raw", "-F")
        made.mirror.step(now + 11)
        assert world.offender.connects(world.v4), "looked at every step"
        made.mirror.step(now + 12)
        assert world.offender.dropped(world.v4)
        made.mirror.reconcile(now + 13)
        assert "somebody removed the jump to GUARD (IPv4)" in made.mirror.report.faults
        assert not made.mirror.alarm
        made.mirror.step(now - 3600)  # a clock that was set back holds nothing up
        world.run(program, "-t", "raw", "-F")
        made.mirror.step(now - 3590)
        assert world.offender.dropped(world.v4)


@pytest.mark.root
def test_a_rule_before_ours_that_lets_packets_pass_is_said(world: World):
    """An ACCEPT that somebody put ahead of the jump is a warning, not a war."""
    with mirrored(world, IPTables((25,))) as made:
        made.claim(A)
        made.mirror.step(time.time())
        world.run("iptables-legacy", "-t", "raw", "-I", "PREROUTING", "-p", "tcp", "-j", "ACCEPT")
        report = made.mirror.reconcile(time.time())
        assert "ACCEPT" in report.warnings[0]
        assert "iptables-legacy -t raw -S" in report.warnings[0]
