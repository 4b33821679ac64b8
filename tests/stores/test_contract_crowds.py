"""What `Crowds` promises, held against every store."""

from guard.lib.networks import parse_network

BLOCK, OTHER = parse_network("192.0.2.0/24"), parse_network("2001:db8::/48")
A, B, C = (parse_network(f"192.0.2.{n}") for n in (1, 2, 3))
NOW = 1_757_675_281.4123456


def test_each_member_counts_once(store):
    """Repeats add nothing; blocks count apart."""
    join = store.crowds.join
    assert [join(BLOCK, network, NOW, 60.0) for network in (A, B, A, B, C)] == [1, 2, 2, 2, 3]
    assert join(OTHER, parse_network("2001:db8:0:1::/64"), NOW, 60.0) == 1


def test_members_leave_with_time(store):
    """Who was banned exactly `within` ago is out; who was banned again is in."""
    join = store.crowds.join
    join(BLOCK, A, NOW, 60.0)
    join(BLOCK, B, NOW + 1, 60.0)
    assert join(BLOCK, C, NOW + 60, 60.0) == 2
    join(BLOCK, A, NOW + 60, 60.0)
    assert join(BLOCK, B, NOW + 61, 60.0) == 3


def test_the_past_does_not_make_a_ban_older(store):
    """A late join leaves the newer time in place."""
    join = store.crowds.join
    join(BLOCK, A, NOW + 50, 60.0)
    join(BLOCK, A, NOW, 60.0)
    assert join(BLOCK, B, NOW + 100, 60.0) == 2


def test_who_left_counts_no_more(store):
    """One of a block, or everybody in it; other blocks are as they were."""
    crowds, member = store.crowds, parse_network("2001:db8:0:1::/64")
    for network in (A, B):
        crowds.join(BLOCK, network, NOW, 60.0)
    crowds.join(OTHER, member, NOW, 60.0)
    crowds.leave({BLOCK: [A]})
    assert crowds.join(BLOCK, C, NOW, 60.0) == 2
    crowds.leave({BLOCK: []})
    assert crowds.join(BLOCK, A, NOW, 60.0) == 1
    assert crowds.join(OTHER, member, NOW, 60.0) == 1


def test_many_leave_at_once(store):
    """Of several blocks some each; whoever is not named stays."""
    crowds, members = store.crowds, [parse_network(f"192.0.2.{n}") for n in range(200)]
    blocks = {BLOCK: members[:150], OTHER: members[100:]}
    for block in blocks:
        for member in members:
            crowds.join(block, member, NOW, 60.0)
    crowds.leave(blocks)
    assert crowds.join(BLOCK, members[199], NOW, 60.0) == 50
    assert crowds.join(OTHER, members[0], NOW, 60.0) == 100


def test_crowds_survive_a_restart(reopened):
    """As everything in a store."""
    store = reopened()
    store.crowds.join(BLOCK, A, NOW, 60.0)
    store.close()
    assert reopened().crowds.join(BLOCK, B, NOW, 60.0) == 2
