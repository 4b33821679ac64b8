"""Rules are split as iptables needs it, and what would let a packet pass is noticed."""

from guard.firewall.chains import Plan, Step, chunks, jumps, looks, passing


def test_ports_are_split_fifteen_a_rule():
    """xt_multiport holds no more; no ports are one rule for all."""
    assert chunks(None) == [None]
    assert [len(part) for part in chunks(range(1, 41))] == [15, 15, 10]


def test_only_an_accepting_rule_ahead_of_ours_matters():
    """A drop or a count before our jump lets nobody pass; an ACCEPT may."""
    for targets, expected in (
        (["GUARD", "ACCEPT"], []),
        (["DROP", "", "ACCEPT", "GUARD"], ["ACCEPT"]),
        (["RETURN", "ACCEPT", "ACCEPT"], ["RETURN", "ACCEPT"]),
    ):
        assert passing({"PREROUTING": [Step(target) for target in targets]}) == expected


def test_an_accepting_rule_in_a_chain_ahead_of_ours_matters():
    """However deep it stands; a RETURN only comes back, unless somebody went there for good."""
    chains = {
        "PREROUTING": [Step("outer"), Step("harmless"), Step("GUARD"), Step("late")],
        "outer": [Step("inner"), Step("RETURN")],
        "inner": [Step("CT"), Step("NFQUEUE"), Step("ACCEPT")],
        "harmless": [Step("RETURN"), Step("DROP")],
        "late": [Step("ACCEPT")],
    }
    assert passing(chains) == ["NFQUEUE in inner"]
    assert passing({"PREROUTING": [Step("harmless", goto=True)]}) == ["goto harmless"]


def test_what_is_inserted_between_our_jumps_matters_too():
    """The sets of the second would never be asked."""
    steps = [Step("GUARD"), Step("ACCEPT"), Step("GUARD_EVERYWHERE"), Step("RETURN")]
    assert passing({"PREROUTING": steps}) == ["ACCEPT"]


def test_each_chain_is_there_when_it_has_something_to_do():
    """That of the ports always, the others with their sets; the jumps go with them."""
    assert list(looks(Plan(["x"]))) == ["GUARD"]
    assert list(looks(Plan(["x"], everywhere=["y"]))) == ["GUARD", "GUARD_EVERYWHERE"]
    assert list(looks(Plan(["x"], ["all"], ["y"]))) == ["GUARD", "GUARD_FEEDS"]
    assert jumps(Plan(["x"]), (25,)) == [((25,), "GUARD")]
    assert jumps(Plan(["x"], everywhere=["y"]), None) == [
        (None, "GUARD"),
        (None, "GUARD_EVERYWHERE"),
    ]
