"""What is particular to nftables; the rest is in test_backends.py."""

import time

import pytest
from netns import World, inside

from guard.events import Block
from guard.firewall.nftables import NFTables
from guard.firewall.nftgroup import renews
from guard.firewall.nftlayout import SETS
from guard.lib.networks import Network
from guard.lib.networks import parse_network as net
from guard.roles import Refused, Unavailable

pytestmark = pytest.mark.root


def test_a_table_that_somebody_removed_is_unavailable_until_opened_again(world: World):
    """`nft flush ruleset` is noticed at the next change; `open` makes everything anew."""
    with inside(world.server):
        firewall = NFTables((25,))
        firewall.open()
        world.run("nft", "flush", "ruleset")
        with pytest.raises(Unavailable, match="somebody removed"):
            firewall.apply([Block(net("192.0.2.10"), None)], [], 1.0)
        with pytest.raises(Unavailable, match="somebody removed"):
            firewall.blocked(1.0)
        firewall.open()
        firewall.apply([Block(net("192.0.2.10"), None)], [], 1.0)
        assert world.offender.dropped(world.v4)
        firewall.close()


def test_a_change_is_all_or_nothing(world: World):
    """When a set is missing, nothing of a change that touches it is done."""
    with inside(world.server):
        firewall = NFTables((25,))
        firewall.open()
        world.run("nft", "-f", "-", given="flush chain inet guard blocked\n")
        world.run("nft", "delete", "set", "inet", "guard", "v4_prefixes")
        both = [Block(net("192.0.2.10"), None), Block(net("203.0.113.0/24"), None)]
        with pytest.raises(Unavailable):
            firewall.apply(both, [], 1.0)
        assert "192.0.2.10" not in world.run("nft", "list", "ruleset")
        firewall.close()


def test_a_longer_ban_within_a_shorter_one_outlives_it(world: World):
    """The /25 is dropped until its own end, by the kernel's clock alone."""
    now = time.time()
    with inside(world.server):
        firewall = NFTables((25,))
        firewall.open()
        outer, inner = net("192.0.2.0/24"), net("192.0.2.0/25")
        firewall.apply([Block(outer, now + 50), Block(inner, now + 500)], [], now)
        assert firewall.blocked(now) == {outer: now + 50, inner: now + 500}
        firewall.apply([], [outer], now)
        assert firewall.blocked(now) == {inner: now + 500}
        firewall.close()


def test_a_foreign_element_is_reported(world: World):
    """What somebody else put into our sets is told, and a release takes it out."""
    with inside(world.server):
        firewall = NFTables((25,))
        firewall.open()
        firewall.apply([Block(net("10.0.0.0/8"), None)], [], 1.0)
        for name, element in (("v4_addresses", "203.0.113.9"), ("v4_prefixes", "172.16.0.0/12")):
            world.run("nft", "add", "element", "inet", "guard", name, f"{{ {element} }}")
        foreign = {net("203.0.113.9"), net("172.16.0.0/12")}
        assert set(firewall.blocked(1.0)) == {net("10.0.0.0/8"), *foreign}
        firewall.apply([], sorted(foreign), 1.0)
        assert set(firewall.blocked(1.0)) == {net("10.0.0.0/8")}
        firewall.close()


@pytest.mark.parametrize(
    ("name", "element"),
    [
        ("v4_prefixes", "198.51.100.0/24"),
        ("v4_prefixes", "203.0.113.9"),
        ("v6_prefixes", "2001:db8:9::/64"),
        ("v6_prefixes", "2001:db8:9::/48"),
    ],
)
def test_a_foreign_range_of_a_length_that_has_a_set_of_its_own_goes(
    world: World, name: str, element: str
):
    """Guard keeps no /24 among the ranges; somebody else's there is found, and taken out."""
    with inside(world.server):
        firewall = NFTables((25,))
        firewall.open()
        firewall.apply([Block(net("10.0.0.0/8"), None)], [], 1.0)
        world.run("nft", "add", "element", "inet", "guard", name, f"{{ {element} }}")
        assert set(firewall.blocked(1.0)) == {net("10.0.0.0/8"), net(element)}
        firewall.apply([], [net(element)], 1.0)
        assert set(firewall.blocked(1.0)) == {net("10.0.0.0/8")}
        listed = world.run("nft", "list", "table", "inet", "guard")
        assert element.partition("/")[0] not in listed
        firewall.close()


def test_what_changes_nothing_hides_nobody_else(world: World):
    """The kernel does not count it; whoever comes next is still noticed."""
    with inside(world.server):
        firewall = NFTables((25,))
        firewall.open()
        for idle in (
            lambda: firewall.replace([], 1.0),
            lambda: firewall.apply([], [net("10.0.0.0/8")], 1.0),
            lambda: firewall.apply([], [], 1.0),
        ):
            idle()
            assert not firewall.disturbed()
            idle()
            world.run("nft", "add", "element", "inet", "guard", "v4_addresses", "{ 203.0.113.9 }")
            assert firewall.disturbed()
            firewall.replace([], 1.0)
            assert not firewall.disturbed()
        firewall.close()


def test_bulk_of_every_kind_is_kept_exactly(world: World):
    """Twenty thousand of each kind of set that jails fill, and a thousand prefixes."""
    now = time.time()
    blocks = [Block(Network(4, 0x0B000000 + n * 5, 32), now + 900) for n in range(20_000)]
    blocks += [Block(Network(6, (0x20010DB8 << 96) + (n << 64), 64), None) for n in range(20_000)]
    blocks += [Block(Network(4, 0x50000000 + (n << 10), 24), now + 900) for n in range(1000)]
    with inside(world.server):
        firewall = NFTables((25,))
        firewall.open()
        firewall.replace(blocks, now)
        found = firewall.blocked(now)
        assert found.keys() == {network for network, _ in blocks}
        firewall.apply([], [network for network, _ in blocks], now)
        assert not firewall.blocked(now)
        firewall.close()


def test_not_open_is_said():
    """A call before open, or after close, is refused."""
    with pytest.raises(Refused, match="not open"):
        NFTables((25,)).blocked(1.0)


def test_a_listing_that_leaves_elements_out_is_taken_again():
    """As while the kernel grows a set: what was seen once is there, until nothing new is seen."""
    firewall, keys = NFTables((25,)).group(""), [bytes([0, 0, 0, number]) for number in range(9)]
    for size, readings in ((9, 2), (None, 3)):
        listings = iter([keys[:5], keys[2:], keys, keys])
        taken = []

        def read(kind, listings=listings, taken=taken):
            taken.append(kind)
            return iter([(key, None, False) for key in next(listings)])

        firewall._read = read
        assert sorted(firewall._hashed(SETS[0], size)) == keys
        assert len(taken) == readings


@pytest.mark.parametrize("kernel", [True, False])
def test_an_end_is_renewed_whatever_the_kernel_makes_of_a_repeat(world: World, kernel: bool):
    """Later, sooner, never and back, in one message or, before Linux 6.12, in three."""
    now = time.time()
    with inside(world.server):
        firewall = NFTables((25,))
        firewall.open()
        if not kernel:
            firewall._link.renews = False
        for end in (now + 100, now + 1000, now + 50, None, now + 70, None):
            firewall.apply([Block(net("192.0.2.10"), end)], [], now)
            [found] = firewall.blocked(now).values()
            assert found == (end if end is None else pytest.approx(end, abs=2))
        firewall.apply([], [net("192.0.2.10"), net("192.0.2.11")], now)
        assert world.offender.connects(world.v4)
        firewall.close()


@pytest.mark.parametrize("kernel", [True, False])
@pytest.mark.parametrize("others", [0, 3])
def test_a_ban_of_the_same_length_begins_anew(world: World, kernel: bool, others: int):
    """An hour from now is later than an hour from before; alone, and among others."""
    with inside(world.server):
        firewall = NFTables((25,))
        firewall.open()
        firewall._link.renews &= kernel
        rest = [net(f"203.0.113.{number}") for number in range(others)]
        for pause in (1.5, 0):
            bans = [Block(network, 1100.0) for network in (net("192.0.2.10"), *rest)]
            firewall.apply(bans, [], 1000.0)
            assert not firewall.disturbed()
            time.sleep(pause)  # the kernel's clock is the one that counts
        for end in firewall.blocked(1000.0).values():
            assert end == pytest.approx(1100, abs=1)
        firewall.close()


def test_hosts_are_blocked_as_blocks_are(world: World):
    """All of them with their ends, anew where they were there; else nothing, and that is said."""
    now = time.time()
    keys = b"".join(net(f"192.0.2.{number}").packed for number in (10, 11, 12))
    with inside(world.server):
        firewall = NFTables((25,))
        firewall.open()
        firewall.apply([Block(net("192.0.2.11"), now + 9)], [], now)
        done = firewall.block_hosts(keys, [now + 100, now + 200, now + 300], now)
        assert done == firewall._link.renews
        if done:
            ends = [firewall.blocked(now)[net(f"192.0.2.{n}")] for n in (10, 11, 12)]
            assert ends == [pytest.approx(now + n, abs=2) for n in (100, 200, 300)]
            assert not world.offender.connects(world.v4)
            assert firewall.block_hosts(keys, [now + 100, now + 200, now + 300], now)
            assert not firewall.disturbed()
        before = firewall.blocked(now).keys()
        assert not firewall.block_hosts(keys[:4] * 2, [now + 5, now + 50], now)
        assert not firewall.block_hosts(b"\xc0\0\2\x0d", [now - 1], now)
        firewall._link.renews = False
        assert not firewall.block_hosts(b"\xc0\0\2\x0d", [now + 5], now)
        assert firewall.blocked(now).keys() == before
        firewall.close()


def test_kernels_that_renew_are_told_by_their_release():
    """Whatever a distribution adds to the number; a release that cannot be read does not."""
    for release in ("6.12.0-amd64", "6.18.44", "7.0-rc1", "10.1"):
        assert renews(release)
    for release in ("6.11.9", "5.10.0-28-amd64", "4.19.0", "", "hurd"):
        assert not renews(release)
