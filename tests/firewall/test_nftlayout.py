"""The script names ports, hosts and sets as asked."""

from guard.firewall.nftlayout import SETS, Layout, removal, script, sets_of


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
    for line in (script(layout, ["gone"]) + removal(layout, ["gone"])).splitlines():
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
    laid, gone = script(layout, ["old"]), removal(layout, ["old"])
    for kind in (*sets_of("drop"), *sets_of("old")):
        assert f'@{kind.name} fib daddr type local counter name "{kind.name}" drop' in laid
    for kind in sets_of("old"):
        assert f"@{kind.name}" not in gone
        assert f"delete set inet guard {kind.name}\n" in gone
        assert f"delete counter inet guard {kind.name}\n" in gone
