"""The script names ports, hosts and sets as asked."""

from guard.firewall.nftlayout import HASHED, RANGED, SETS, script


def test_every_set_is_hashed_or_ranged():
    """A network has exactly one set that holds it."""
    assert {*HASHED.values(), *RANGED.values()} == set(SETS)
    assert not {*HASHED.values()} & {*RANGED.values()}


def test_ports_and_forwarding_are_as_asked():
    """Without ports no protocol is named; local delivery is a condition unless told otherwise."""
    mail = script((25, 587), forwarded=False)
    assert "tcp dport { 25, 587 } jump blocked" in mail
    assert mail.count("fib daddr type local") == len(SETS)
    everything = script(None, forwarded=True)
    assert "dport" not in everything
    assert "fib" not in everything


def test_only_our_own_table_is_named():
    """Every line adds to, or flushes a chain of, the one table."""
    for line in script((25,), forwarded=False, table="other").splitlines():
        assert line.split()[0] in ("add", "flush")
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
        assert f"saddr & {mask} @{name} " in script((25,), forwarded=False)
