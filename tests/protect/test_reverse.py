"""Reverse names are found out ahead, within bounds, and checked again."""

from guard.lib.networks import parse_address, parse_network
from guard.protect.dns import pointer
from guard.protect.reverse import AT_ONCE, KEPT_NO, KEPT_YES, MOST_WAITING, Reverse
from guard.roles import Unavailable

ADDRESS = parse_address("185.4.0.7")


class World:
    """A DNS that can change and fail."""

    def __init__(self):
        self.asked, self.down = 0, False
        self.table = {
            (pointer(ADDRESS), "PTR"): ["mail.example.com."],
            ("mail.example.com", "A"): ["185.4.0.7"],
        }

    def __call__(self, name, kind):
        self.asked += 1
        if self.down:
            raise Unavailable("down")
        return self.table.get((name, kind), [])


def test_a_noticed_address_is_confirmed_and_kept():
    """Asked once; known until it is old, then asked again while it still holds."""
    world = World()
    reverse = Reverse(world)
    reverse.noticed(ADDRESS)
    yes = [(ADDRESS, "allow mail.example.com")]
    assert reverse.run([".example.com"], 0.0) == yes
    asked = world.asked
    reverse.noticed(ADDRESS)
    assert reverse.run([".example.com"], KEPT_YES - 1) == yes
    assert world.asked == asked
    assert reverse.run([".example.com"], KEPT_YES) == yes
    world.table.clear()
    assert reverse.run([".example.com"], KEPT_YES + 1) == []
    assert world.asked > asked


def test_a_failing_server_changes_nothing():
    """Neither forgets a yes nor notes a no."""
    world = World()
    reverse = Reverse(world)
    reverse.noticed(ADDRESS)
    reverse.run([".example.com"], 0.0)
    world.down = True
    reverse.run([".example.com"], KEPT_YES)
    assert reverse.run([".example.com"], KEPT_YES + 1) != []
    stranger = parse_address("185.4.0.8")
    reverse.noticed(stranger)
    reverse.run([".example.com"], 1.0)
    world.down = False
    before = world.asked
    reverse.noticed(stranger)
    reverse.run([".example.com"], 2.0)
    assert world.asked > before


def test_a_no_is_asked_again_later_and_a_suffix_can_be_withdrawn():
    """Whoever gets his name tomorrow is found tomorrow; whoever is no longer allowed is not."""
    world = World()
    reverse = Reverse(world)
    stranger = parse_address("185.4.0.8")
    reverse.noticed(stranger)
    assert reverse.run([".example.com"], 0.0) == []
    world.table[(pointer(stranger), "PTR")] = ["b.example.com."]
    world.table[("b.example.com", "A")] = ["185.4.0.8"]
    reverse.noticed(stranger)
    assert reverse.run([".example.com"], 1.0) == []
    reverse.run([".example.com"], KEPT_NO)
    reverse.noticed(stranger)
    assert reverse.run([".example.com"], KEPT_NO) == [(stranger, "allow b.example.com")]
    assert reverse.run([".example.org"], KEPT_NO) == []


def test_the_queue_is_bounded_and_served_in_order():
    """A flood waits or is dropped; networks have no name."""
    world = World()
    reverse = Reverse(world)
    reverse.noticed(parse_network("185.4.0.0/24"))
    reverse.run([".x.y"], 0.0)
    assert world.asked == 0
    for i in range(MOST_WAITING + 500):
        reverse.noticed(parse_address(f"185.{i >> 8}.{i & 255}.1"))
    reverse.run([".x.y"], 0.0)
    assert world.asked == AT_ONCE
    for _ in range(200):
        reverse.run([".x.y"], 0.0)
    assert world.asked == MOST_WAITING
