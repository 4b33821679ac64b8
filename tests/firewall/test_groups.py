"""Names of groups fit every kernel, and each feed finds its own sets again."""

from hypothesis import given
from hypothesis import strategies as st

from guard.firewall.groups import (
    LONGEST,
    UNION,
    Groups,
    by_feed,
    group_of_feed,
    group_of_set,
    groups_of,
    is_group,
    sorter,
)
from guard.firewall.ipsetgroup import kinds_of, parsed
from guard.firewall.nftlayout import sets_of

_NAMES = st.one_of(
    st.text(alphabet="abcXYZ019-._", min_size=1, max_size=60), st.text(min_size=1, max_size=60)
)


@given(_NAMES)
def test_any_name_of_a_feed_becomes_one_that_kernels_take(name: str):
    """Letters, digits and dashes; an ipset of it has at most 31 characters."""
    group = group_of_feed(name)
    assert is_group(group)
    assert len(group) <= LONGEST
    assert max(len(kind.name) for kind in kinds_of("guard", group, (4, 6))) <= 31
    assert group_of_feed(group) == group


def test_a_short_name_is_kept_and_two_that_look_alike_stay_apart():
    """So that an operator finds the set; digits of a digest tell the others apart."""
    assert group_of_feed("spamhaus-drop") == "spamhaus-drop"
    assert group_of_feed("Ours.txt").startswith("ours-txt-")
    names = ["ours.txt", "Ours.txt", "ours-txt", "x" * 30, "x" * 31]
    assert len(groups_of(names).names) == len(names) + 1
    assert groups_of(["a", "b", "a"]) == Groups(("a", "b"))
    for bad in ("", "A", "a_b", "a b", "a;flush", "x" * 21, "\n"):
        assert not is_group(bad)


def test_more_than_a_few_feeds_have_a_group_together():
    """It is nobody's own: a feed of that name has another."""
    assert groups_of("abc").names == ("a", "b", "c")
    assert groups_of("abcd").names == ("a", "b", "c", "d", UNION)
    assert group_of_feed(UNION) != UNION
    assert is_group(UNION)


@given(st.lists(_NAMES, max_size=5))
def test_claims_go_where_their_feed_is(names: list[str]):
    """Those of jails, of operators and of feeds that are not followed go together."""
    group = sorter(names)
    for name in names:
        assert group(f"feed:{name}")[0] == group_of_feed(name)
        assert group(f"jail:{name}") == ("",)
    assert group("manual") == group("feed:/another/") == ("",)


def test_what_closes_every_port_is_no_part_of_all_that_is_listed():
    """It is looked up for each port, and there is no need for it to be looked up before."""
    assert groups_of("abc", "xy") == Groups((*"abc", "x", "y"), ("x", "y"))
    assert groups_of("abcd", "x") == Groups((*"abcd", "x", UNION), ("x",))
    group = sorter("abcd", "x")
    assert group("feed:a") == ("a", UNION)
    assert group("feed:x") == ("x",)
    assert sorter("abc", "x")("feed:a") == ("a",)


def test_the_group_of_a_set_is_read_from_its_name():
    """In both packet filters; sets of others are nobody's."""
    for group in ("drop", "a", "p", "addresses", "0-9"):
        assert {group_of_set(kind.name) for kind in sets_of(group)} == {group}
        for kind in kinds_of("guard", group, (4, 6)):
            assert parsed("guard", kind.name) == kind
            assert group_of_set(kind.title) == group
    for kind in (*sets_of(""), *kinds_of("guard", "", (4, 6))):
        assert group_of_set(kind.name) == ""
        assert parsed("guard", kind.name) is None
    assert parsed("guard", "mine_v4_drop_a") is None


def test_what_was_dropped_is_summed_by_feed():
    """Over both families and kinds; a feed without sets is left out, jails are nobody's."""
    dropped = {
        "v4_addresses": (100, 6000),
        "v4_addresses_drop": (1, 60),
        "v6_prefixes_drop": (2, 160),
        f"v4_prefixes_{group_of_feed('Ours.txt')}": (5, 300),
    }
    assert by_feed(dropped, ["drop", "Ours.txt", "routes"]) == {
        "drop": (3, 220),
        "Ours.txt": (5, 300),
    }
