"""Each feed has sets of its own in the kernel: what it dropped is counted, and nobody else's moves.

With real packets, for both packet filters, here and in a process of its own.
"""

import socket
import time
from collections.abc import Callable

import pytest
from netns import World, inside

from guard.events import Block, Claim
from guard.firewall.groups import Groups, by_feed, group_of_feed, groups_of, sorter
from guard.firewall.iptables import IPTables
from guard.firewall.mirror import Mirror
from guard.firewall.nftables import NFTables
from guard.firewall.separate import separate
from guard.firewall.settings import FirewallSettings
from guard.firewall.wire import Verb, change
from guard.firewall.xtables import Legacy, Nft
from guard.lib.networks import Network
from guard.lib.networks import parse_network as net
from guard.roles import Firewall, Refused
from guard.stores.embedded_ledger import EmbeddedLedger

pytestmark = pytest.mark.root
NOW = 1000.0
FEEDS = ("drop", "Other.list")
# So many that there is a group of all of them.
MANY = (*FEEDS, "third", "fourth", "fifth")
A, WIDE, SIX = net("192.0.2.10"), net("192.0.2.8/29"), net("2001:db8:1::/64")
Make = Callable[..., Firewall]
KINDS: dict[str, Make] = {
    "nftables": lambda groups: NFTables((25,), groups=groups),
    "iptables-legacy": lambda groups: IPTables((25,), rules=Legacy(), groups=groups),
    "iptables-nft": lambda groups: IPTables((25,), rules=Nft(), groups=groups),
    "separate": lambda groups: (
        separate(FirewallSettings(backend="nftables", ports=(25,)), groups).firewall
    ),
}


counts = pytest.mark.parametrize("feeds", [FEEDS, MANY], ids=["few", "many"])


class Shield:
    """Protects what a test says, and may be carved around."""

    def __init__(self) -> None:
        self.version, self.kept = 0, set()

    def protects(self, network: Network) -> str | None:
        return "kept" if any(network.overlaps(each) for each in self.kept) else None

    def carve(self, network: Network) -> list[Network]:
        if self.protects(network) is None:
            return [network]
        if network.is_address:
            return []
        half = network.length + 1
        low = Network(network.version, network.value, half)
        high = Network(network.version, network.value | 1 << network.bits - half, half)
        return [*self.carve(low), *self.carve(high)]


class Setting:
    """A ledger and a kernel's firewall with sets for two feeds."""

    def __init__(
        self, make: Make, feeds=FEEDS, ledger: EmbeddedLedger | None = None, everything=()
    ) -> None:
        self.ledger = ledger or EmbeddedLedger(None, 3600.0)
        self.firewall, self.shield = make(groups_of(feeds, everything)), Shield()
        self.mirror = Mirror(self.ledger, self.firewall, self.shield, sorter(feeds, everything))
        self.mirror.start(time.time())

    def claim(self, source: str, *networks: Network, until: float | None = None) -> None:
        self.ledger.claim([Claim(n, source, "", NOW, until) for n in networks], NOW)
        self.mirror.step(time.time())

    def withdraw(self, source: str, network: Network) -> None:
        self.ledger.withdraw(network, source, NOW)
        self.mirror.step(time.time())

    def held(self, group: str = "") -> set[Network]:
        holds = self.firewall.group(group) if group else self.firewall
        return set(holds.blocked(time.time()))


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest) -> Make:
    return KINDS[request.param]


@counts
def test_what_each_feed_dropped_is_counted(make: Make, world: World, feeds: tuple[str, ...]):
    """Packets and bytes, of addresses and prefixes of both families, apart from jails'."""
    with inside(world.server):
        made = Setting(make, feeds)
        made.claim("feed:drop", WIDE, SIX)
        assert world.offender.dropped(world.v4)
        assert world.offender.dropped(world.v6)
        first = by_feed(made.mirror.dropped(), FEEDS)
        assert first["drop"][0] >= 2
        assert first["drop"][1] >= 100
        assert first["Other.list"] == (0, 0)
        made.withdraw("feed:drop", WIDE)
        made.claim("feed:Other.list", A)
        assert world.offender.dropped(world.v4)
        second = by_feed(made.mirror.dropped(), FEEDS)
        assert second["Other.list"][0] >= 1
        assert second["drop"] == first["drop"]
        assert made.mirror.dropped()["v4_addresses"] == (0, 0)
        assert world.innocent.connects(world.v4)
        made.firewall.close(clear=True)


@counts
def test_a_feed_closes_every_port_and_is_counted(make: Make, world: World, feeds: tuple[str, ...]):
    """Beside others that close the ports of mail: whoever lists a host, each for itself."""
    feeds = tuple(feed for feed in feeds if feed != "drop")
    with inside(world.server):
        made = Setting(make, feeds, everything=("drop",))
        for address, network in ((world.v4, WIDE), (world.v6, SIX)):
            for source, web in (("jail:x", True), ("feed:Other.list", True), ("feed:drop", False)):
                made.claim(source, network)
                assert world.offender.dropped(address, 25)
                assert world.offender.dropped(address, 80) is not web
                assert world.offender.connects(address, 80) is web
                assert world.innocent.connects(world.v4, 80)
                made.withdraw(source, network)
                assert world.offender.connects(address, 80)
        made.claim("feed:drop", A)
        before = by_feed(made.mirror.dropped(), ("drop", *FEEDS))
        assert before["drop"][0] >= 12
        assert before["Other.list"][0] >= 6
        assert world.offender.dropped(world.v4, 80)
        assert not pings(world)
        after = by_feed(made.mirror.dropped(), ("drop", *FEEDS))
        assert after["drop"][0] >= before["drop"][0] + 4
        assert after["Other.list"] == before["Other.list"]
        assert made.firewall.faults() == []
        assert made.mirror.reconcile(time.time()).clean
        made.firewall.close(clear=True)
        assert "guard" not in kernel(world).lower()


def pings(world: World) -> bool:
    """Whether the offender's UDP to a port where nobody listens is answered, by ICMP."""
    with inside(world.offender.name), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.4)
        sock.connect((world.v4, 9))
        sock.send(b"?")
        try:
            sock.recv(1)
        except ConnectionRefusedError:
            return True
        except TimeoutError:
            return False
    return True


def test_a_feed_may_close_more_or_less_with_the_next_start(make: Make, world: World):
    """Nobody gets in on the way, in either direction, with few feeds and with many."""
    with inside(world.server):
        made = Setting(make)
        made.claim("feed:drop", A, SIX)
        for others in ((), MANY[1:]):
            for everything in (("drop",), ()):
                made.firewall.close()
                feeds = others if everything else ("drop", *others)
                made = Watching(make, feeds, made.ledger, world, everything)
                assert made.held("drop") == {A, SIX}
                assert world.offender.connects(world.v4, 80) is not bool(everything)
                assert made.mirror.reconcile(time.time()).clean
        made.firewall.close(clear=True)


@counts
def test_an_address_that_several_claim_is_free_when_the_last_lets_go(
    make: Make, world: World, feeds: tuple[str, ...]
):
    """A feed, another and a jail: in whatever order they go, each holds it by itself."""
    with inside(world.server):
        made = Setting(make, feeds)
        sources = ["feed:drop", "jail:x", "feed:Other.list"]
        for turn in range(3):
            for source in sources:
                made.claim(source, A)
            for source in sources[turn:] + sources[:turn]:
                assert world.offender.dropped(world.v4)
                made.withdraw(source, A)
            assert world.offender.connects(world.v4)
        assert made.held() == made.held("drop") == set()
        made.firewall.close(clear=True)


def test_an_end_is_that_of_the_group_alone(make: Make, world: World):
    """A jail's ban of an hour does not shorten or lengthen what a feed says."""
    with inside(world.server):
        made, now = Setting(make), time.time()
        made.claim("feed:drop", A)
        made.claim("jail:x", A, until=now + 3600)
        assert made.firewall.blocked(now)[A] == pytest.approx(now + 3600, abs=3)
        assert made.firewall.group("drop").blocked(now) == {A: None}
        made.firewall.close(clear=True)


@counts
def test_who_becomes_protected_is_let_in_by_every_group(
    make: Make, world: World, feeds: tuple[str, ...]
):
    """Whole, or carved out of a prefix, at the next step; and blocked again afterwards."""
    with inside(world.server):
        made = Setting(make, feeds)
        made.claim("feed:drop", WIDE)
        made.claim("jail:x", A)
        for _ in range(2):
            made.shield.kept, made.shield.version = {A}, made.shield.version + 1
            made.mirror.step(time.time())
            assert world.offender.connects(world.v4)
            assert world.offender.dropped(world.v4, source="192.0.2.11")
            assert made.mirror.spared == 2
            assert made.mirror.reconcile(time.time()).clean
            made.shield.kept, made.shield.version = set(), made.shield.version + 1
            made.mirror.step(time.time())
            assert world.offender.dropped(world.v4)
            assert made.held("drop") == {WIDE}
        made.firewall.close(clear=True)


def test_a_reconcile_repairs_the_sets_of_feeds_too(make: Make, world: World):
    """What somebody flushed or added there is put right, and counted."""
    with inside(world.server):
        made = Setting(make)
        made.claim("feed:drop", A, SIX)
        made.claim("jail:x", net("203.0.113.9"))
        feed = made.firewall.group("drop")
        feed.apply([Block(net("203.0.113.7"), None)], [A], NOW)
        if made.firewall.name == "nftables":
            world.run("nft", "add", "table", "inet", "other")  # so that there is reason to look
        assert made.mirror.reconcile(time.time())[:4] == (3, 3, 1, 1)
        assert made.held("drop") == {A, SIX}
        assert world.offender.dropped(world.v4)
        made.firewall.close(clear=True)


def test_sets_come_and_go_with_feeds_and_nobody_gets_in_meanwhile(make: Make, world: World):
    """A feed that is added takes its networks over from the common sets, and gives them back."""
    with inside(world.server):
        made = Setting(make, feeds=())
        made.claim("feed:drop", A)
        made.claim("feed:Other.list", SIX)
        assert made.held() == {A, SIX}
        for feeds in (("drop",), MANY, FEEDS, MANY, ("Other.list",), ()):
            made.firewall.close()
            made = Watching(make, feeds, made.ledger, world)
            assert made.looked == 3 + len(groups_of(feeds).names)
            for feed in FEEDS:
                expected = {A} if feed == "drop" else {SIX}
                held = made.held(group_of_feed(feed)) if feed in feeds else made.held()
                assert expected <= held
                assert (feed in feeds) == (f"_{group_of_feed(feed)}" in kernel(world))
            assert made.mirror.reconcile(time.time()).clean
        made.firewall.close(clear=True)


class Watching(Setting):
    """Looks whether the offender gets in at every call to the firewall of a start."""

    def __init__(
        self, make: Make, feeds, ledger: EmbeddedLedger, world: World, everything=()
    ) -> None:
        self.looked = 0

        def made(groups):
            firewall = make(groups)
            for name in ("open", "replace", "tidy"):
                self._watch(firewall, name, world)
            for name in groups.names:
                self._watch(firewall.group(name), "replace", world)
            return firewall

        super().__init__(made, feeds, ledger, everything)

    def _watch(self, owner, name: str, world: World) -> None:
        call = getattr(owner, name)

        def watched(*args):
            for address in (world.v4, world.v6):
                assert world.offender.dropped(address)
            call(*args)
            for address in (world.v4, world.v6):
                assert world.offender.dropped(address)
            self.looked += 1

        setattr(owner, name, watched)


def kernel(world: World) -> str:
    """Every set and rule that there is."""
    listed = world.run("nft", "list", "ruleset") + world.run("ipset", "list", "-n")
    return listed + world.run("iptables-legacy", "-t", "raw", "-S")


def test_a_hundred_feeds(make: Make, world: World):
    """All are laid and each holds its own; clearing leaves nothing."""
    feeds = [f"feed-{number}" for number in range(100)]
    with inside(world.server):
        ledger = EmbeddedLedger(None, 3600.0)
        claims = [
            Claim(Network(4, 0x0B000000 + n * 256, 24 + n % 9), f"feed:feed-{n}", "", NOW, None)
            for n in range(100)
        ]
        ledger.claim([*claims, Claim(A, "feed:feed-99", "", NOW, None)], NOW)
        made = Setting(make, feeds, ledger)
        assert world.offender.dropped(world.v4)
        assert world.innocent.connects(world.v4)
        assert made.held("feed-7") == {claims[7].network}
        assert made.held("feed-99") == {claims[99].network, A}
        assert made.held() == set()
        assert by_feed(made.mirror.dropped(), feeds)["feed-99"][0] > 0
        made.firewall.close(clear=True)
        assert "guard" not in kernel(world)


def test_the_privileged_process_takes_no_other_names(world: World):
    """Neither as an argument nor as a number: nothing that a caller says gets into a command."""
    with inside(world.server):
        with pytest.raises(Exception, match="gone"):
            separate(FirewallSettings(backend="nftables"), Groups(("x; flush ruleset",)))
        firewall = separate(FirewallSettings(backend="nftables"), Groups(("drop",))).firewall
        with pytest.raises(Refused, match="no group 2"):
            firewall.ask(Verb.APPLY, change(1.0, [Block(A, None)], []), 2)
        firewall.ask(Verb.APPLY, change(1.0, [Block(A, None)], []), 1)
        assert firewall.group("drop").blocked(1.0) == {A: None}
        firewall.close(clear=True)
