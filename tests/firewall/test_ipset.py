"""Sets are made, filled, read and destroyed as the ipset program would see it."""

import subprocess
from collections.abc import Iterator

import pytest
from netns import World, inside

from guard.events import Block
from guard.firewall.ipset import CEILING, IPSets, seconds
from guard.firewall.netlink import KernelError
from guard.lib.networks import Network
from guard.lib.networks import parse_network as net


def test_seconds_are_rounded_up_and_kept_below_the_ceiling():
    """Never zero for an end that comes, never more than the kernel counts; zero is for ever."""
    assert seconds(None, 100.0) == 0
    assert seconds(100.2, 100.0) == 1
    assert seconds(101.2, 100.0) == 2
    assert seconds(1e10, 100.0) == CEILING


@pytest.fixture
def sets(world: World) -> Iterator[IPSets]:
    """The sets of the server's namespace; the test's thread is in there."""
    with inside(world.server):
        made = IPSets()
        yield made
        made.close()


def listed(name: str) -> str:
    """What the ipset program says of a set."""
    return subprocess.run(
        ["ipset", "list", name], check=True, capture_output=True, text=True
    ).stdout


@pytest.mark.root
def test_the_ipset_program_sees_what_was_added(sets: IPSets):
    """Addresses and prefixes of both families, with and without an end."""
    for name, kind, version, network in (
        ("g4", "hash:ip", 4, "192.0.2.1"),
        ("g4n", "hash:net", 4, "192.0.2.0/24"),
        ("g6", "hash:ip", 6, "2001:db8::1"),
        ("g6n", "hash:net", 6, "2001:db8::/32"),
    ):
        sets.create(name, kind, version)
        sets.create(name, kind, version)
        sets.add(name, [Block(net(network), 700.0)], 100.0)
        assert f"{network} timeout 600" in listed(name) or f"{network} timeout 599" in listed(name)
        sets.add(name, [Block(net(network), None)], 100.0)
        assert f"{network} timeout 0" in listed(name)
        assert list(sets.elements(name, version, 100.0)) == [Block(net(network), None)]
        sets.delete(name, [net("203.0.113.9") if version == 4 else net("::9"), net(network)])
        assert not list(sets.elements(name, version, 100.0))
        sets.destroy(name)
        sets.destroy(name)
        assert not sets.exists(name)


@pytest.mark.root
def test_a_set_grows_beyond_its_first_size(sets: IPSets):
    """Two hundred thousand elements where ipset's own default would stop at 65,536."""
    sets.create("big", "hash:ip", 4)
    sets.add("big", (Block(Network(4, 1 << 24 | n, 32), 900.0) for n in range(200_000)), 100.0)
    assert len(list(sets.elements("big", 4, 100.0))) == 200_000


@pytest.mark.root
def test_a_swap_exchanges_contents(sets: IPSets):
    """What was in the one is in the other, at once."""
    for name, network in (("one", "192.0.2.1"), ("two", "192.0.2.2")):
        sets.create(name, "hash:ip", 4)
        sets.add(name, [Block(net(network), None)], 1.0)
    sets.swap("one", "two")
    assert list(sets.elements("one", 4, 1.0)) == [Block(net("192.0.2.2"), None)]


@pytest.mark.root
def test_another_set_of_that_name_is_not_ours(sets: IPSets):
    """A set of another kind is not taken for ours."""
    subprocess.run(["ipset", "create", "taken", "hash:net"], check=True)
    with pytest.raises(KernelError):
        sets.create("taken", "hash:ip", 4)
