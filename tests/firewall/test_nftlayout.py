"""The script names ports, hosts and sets as asked."""

from guard.firewall.groups import UNION, groups_of
from guard.firewall.nftlayout import SETS, Layout, script, sets_of, settled


def test_every_set_is_hashed_or_ranged():
    """A network has exactly one set of each group that holds it, and no name is there twice."""
    for group in ("", "drop", "a-b"):
        lengths = [(kind.version, kind.length) for kind in sets_of(group)]
        assert len(set(lengths)) == len(lengths)
        assert {(4, 32), (4, None), (6, 128), (6, None)} <= set(lengths)
    names = [kind.name for kind in Layout(None, ("a", "addresses", "a-b")).sets]
    assert len(set(names)) == len(names)


def test_ports_and_forwarding_are_as_asked():
    """Without ports no protocol is named; local delivery is a condition unless told otherwise."""
    mail = script(Layout((25, 587)))
    assert "tcp dport { 25, 587 } jump blocked" in mail
    assert mail.count("fib daddr type local") == len(SETS)
    everything = script(Layout(None, forwarded=True))
    assert "dport" not in everything
    assert "fib" not in everything


def test_only_our_own_table_is_named():
    """Every line adds to, flushes a chain of, or deletes a set of the one table."""
    layout = Layout((25,), ("drop",), table="other")
    for line in (script(layout, ["gone"]) + settled(layout, ["gone"])).splitlines():
        assert line.split()[0] in ("add", "flush", "delete")
        assert "inet other" in line


def test_masks_are_as_long_as_the_prefixes():
    """Each address is cut to the length of the set's keys before it is looked up."""
    masks = {kind.name: kind.mask for kind in SETS if kind.length not in (None, kind.bits)}
    assert masks == {
        "v4_subnets": "255.255.255.0",
        "v6_subnets": "ffff:ffff:ffff:ffff::",
        "v6_sites": "ffff:ffff:ffff::",
    }
    for name, mask in masks.items():
        assert f"saddr & {mask} @{name} " in script(Layout((25,)))


def test_a_feed_has_its_own_sets_and_counters_until_they_are_removed():
    """Two sets a family; what is surplus is in force in the script and gone after the removal."""
    layout = Layout((25,), ("drop",))
    laid, gone = script(layout, ["old"]), settled(layout, ["old"])
    for kind in (*sets_of("drop"), *sets_of("old")):
        assert f'@{kind.name} fib daddr type local counter name "{kind.name}" drop' in laid
    for kind in sets_of("old"):
        assert f"@{kind.name}" not in gone
        assert f"delete set inet guard {kind.name}\n" in gone
        assert f"delete counter inet guard {kind.name}\n" in gone


def test_what_many_feeds_list_is_looked_up_once():
    """A packet of nobody's meets one pair of sets, however many feeds there are."""
    groups = groups_of([f"feed-{number}" for number in range(100)]).names
    laid = settled(Layout((25,), groups)).splitlines()
    ways = [line for line in laid if line.startswith("add rule inet guard blocked")]
    assert len(ways) == len(SETS) + len(sets_of(UNION))
    assert sum("goto feeds" in line for line in ways) == len(sets_of(UNION))
    behind = [line for line in laid if line.startswith("add rule inet guard feeds")]
    assert len(behind) == 100 * len(sets_of("x")) + 1
    assert behind[-1].endswith("feeds drop")
    few = settled(Layout((25,), groups_of(["a", "b", "c"]).names))
    assert "goto" not in few


def test_while_sets_are_being_filled_each_drops_by_itself():
    """The set of all feeds may still be empty then."""
    groups = groups_of([f"feed-{number}" for number in range(9)]).names
    laid = script(Layout((25,), groups), ["old"])
    assert "goto" not in laid
    for group in (*groups, "old"):
        for kind in sets_of(group):
            assert f'counter name "{kind.name}" drop' in laid


def test_what_closes_every_port_is_reached_without_one():
    """By a chain of its own, from prerouting and from the devices; there is no such way else."""
    groups = groups_of([f"feed-{number}" for number in range(9)], ["drop"])
    layout = Layout((25,), groups.names, True, devices=("eth0",), everything=groups.everything)
    for laid in (script(layout), settled(layout)):
        for chain in ("arrivals", "entrance"):
            assert f"add rule inet guard {chain} jump everywhere\n" in laid
            assert f"add rule inet guard {chain} tcp dport {{ 25 }} jump blocked\n" in laid
        rules = [line for line in laid.splitlines() if "@v4_addresses_drop " in line]
        assert rules == [
            "add rule inet guard everywhere ip saddr @v4_addresses_drop "
            'counter name "v4_addresses_drop" drop'
        ]
    assert "jump everywhere" not in settled(Layout((25,), ("drop",)))
