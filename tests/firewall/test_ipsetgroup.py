"""A /0 is two /1 in an ipset, and is read back as what it was."""

import pytest
from netns import World, inside

from guard.events import Block
from guard.firewall.ipset import IPSets
from guard.firewall.ipsetgroup import Group, Link, kinds_of, rejoined
from guard.lib.networks import parse_network as net

LOW, HIGH, ALL = net("0.0.0.0/1"), net("128.0.0.0/1"), net("0.0.0.0/0")


@pytest.mark.parametrize(
    ("low", "high", "whole"), [(50.0, 51.0, 50.0), (51.0, 50.0, 50.0), (7.0, 7.0, 7.0)]
)
def test_halves_whose_seconds_differ_by_one_are_the_whole(low, high, whole):
    """The kernel tells whole seconds of each, and one may be over between the two."""
    assert rejoined({LOW: low, HIGH: high}) == {ALL: whole}


def test_halves_for_ever_are_the_whole():
    """In either family, and beside others."""
    six = {net("::/1"): None, net("8000::/1"): None, net("2001:db8::/32"): 5.0}
    assert rejoined(six) == {net("::/0"): None, net("2001:db8::/32"): 5.0}


@pytest.mark.parametrize(
    "found", [{LOW: 50.0, HIGH: 500.0}, {LOW: None, HIGH: 50.0}, {LOW: 50.0}, {HIGH: None}]
)
def test_other_halves_stay_halves(found):
    """They were blocked each for itself."""
    assert rejoined(dict(found)) == found


@pytest.mark.root
def test_a_whole_is_read_back_from_a_kernel_that_is_between_two_seconds(world: World):
    """As on a busy machine, where the halves are laid or listed some time apart."""
    with inside(world.server):
        link = Link("guard")
        link.open()
        group = Group(link, kinds_of("guard", "", (4,)))
        group.make()
        sets, name = IPSets(), "guard_v4_prefixes"
        sets.add(name, [Block(LOW, 500.0)], 1.0)
        sets.add(name, [Block(HIGH, 501.0)], 1.0)
        found = group.blocked(1.0)
        sets.close()
        link.close()
        assert found.keys() == {ALL}
        assert found[ALL] == pytest.approx(500.0, abs=1.5)
