"""The sliding windows of several jails on one address, against a model of some lines."""

from struct import iter_unpack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.events import Window
from guard.jails.window import ENTRY, Rule, Sets, add, merged, parts, times_of


def held_by(jail, hits, sets, windows):
    return [at for name, at in times_of(hits, sets, windows) if name == jail]


def model(held: list[float], time: float, rejections: int, window: Window):
    """All that is within findtime of the newest, counted again each time."""
    newest = max([*held, time])
    kept = sorted(t for t in [*held, *[time] * rejections] if t > newest - window.findtime)
    if time <= newest - window.findtime:
        return held, 0
    return ([], len(kept)) if len(kept) >= window.maxretry else (kept, 0)


def judge(offences, windows, sets):
    """Each offence names jails, time and number: jails and model agree on every one."""
    hits, held = b"", {name: [] for name in windows}
    for names, time, rejections in offences:
        rule = Rule("+".join(names), windows, sets, windows)
        hits, filled = add(hits, time, rejections, rule)
        expected = []
        for name in names:
            held[name], total = model(held[name], time, rejections, windows[name])
            expected += [(name, total)] if total else []
        assert filled == expected
        for name, window in windows.items():
            times = held[name]
            assert held_by(name, hits, sets, windows) == times
            assert len(times) < window.maxretry
    return hits


thresholds = st.builds(Window, st.integers(1, 6), st.floats(0.5, 20))
three = st.fixed_dictionaries({"a": thresholds, "b": thresholds, "c": thresholds})
which = st.sampled_from([("a",), ("a", "b"), ("b", "c"), ("c", "a", "b")])
late = st.lists(st.tuples(which, st.floats(0, 40), st.integers(1, 3)), max_size=40)
steps = st.lists(st.tuples(which, st.floats(0, 4), st.sampled_from([1, 1, 1, 2])), max_size=40)


LIMITS = settings(deadline=None, max_examples=150)


@LIMITS
@given(late, three)
def test_windows_are_exact_in_any_order(offences, windows):
    """Any offences of any jails in any order fill each window exactly when the model says."""
    judge(offences, windows, Sets())


@LIMITS
@given(steps, three, st.sampled_from([0, 240, 250, 300]))
def test_windows_are_exact_in_order(offences, windows, others):
    """The same as time goes on; with more sets of jails than fit into a byte as well."""
    sets, time, timed = Sets(), 0.0, []
    for number in range(others):
        sets.number(f"other{number}")
    for names, step, rejections in offences:
        time += step
        timed.append((names, time, rejections))
    judge(timed, windows, sets)


def alone(maxretry, findtime):
    """The rule of one jail."""
    windows = {"relay": Window(maxretry, findtime)}
    return Rule("relay", windows, Sets(), windows)


def times(hits, rule):
    return held_by("relay", hits, rule.sets, rule.windows)


def test_one_exactly_as_old_as_the_window_is_out():
    """The edge belongs to nobody: findtime seconds later the first rejection no longer counts."""
    rule = alone(2, 600.0)
    first, _ = add(b"", 1000.0, 1, rule)
    assert add(first, 1600.0, 1, rule)[1] == []
    assert add(first, 1599.9, 1, rule) == (b"", [("relay", 2)])


def test_a_collapsed_record_counts_in_full():
    """One offence of many rejections fills the window and says how many there were."""
    assert add(b"", 5.0, 1000, alone(5, 600.0)) == (b"", [("relay", 1000)])


def test_a_late_rejection_takes_its_place():
    """Out of order by less than findtime counts as if it had come in time."""
    rule = alone(3, 600.0)
    hits, _ = add(b"", 1000.0, 1, rule)
    hits, _ = add(hits, 700.0, 1, rule)
    assert times(hits, rule) == [700.0, 1000.0]
    assert add(hits, 1299.0, 1, rule) == (b"", [("relay", 3)])


def test_one_that_is_too_late_changes_nothing():
    """Older than the window of the newest: neither counted nor kept."""
    rule = alone(2, 600.0)
    hits, _ = add(b"", 1000.0, 1, rule)
    assert add(hits, 400.0, 5, rule) == (hits, [])


@pytest.mark.parametrize("other", [(), ("quick", "quick+slow")])
def test_what_is_kept_of_one_address_is_bounded(other):
    """One who stays below the threshold for ever takes no more bytes than his windows need."""
    windows = {"quick": Window(5, 600.0, 86400.0), "slow": Window(15, 86400.0, 86400.0)}
    sets, hits = Sets(), b""
    rules = [Rule(name, windows, sets, windows) for name in other or ("quick",)]
    for number in range(2000):
        hits, _ = add(hits, 200.0 * number, 1, rules[number % len(rules)])
        assert len(hits) <= 2 * ENTRY * (5 + 15)


def test_of_one_who_filled_a_long_window_a_short_one_keeps_only_its_own():
    """What is out of the short window is not kept for it, neither then nor when he comes again."""
    windows = {"quick": Window(5, 600.0, 86400.0), "slow": Window(15, 86400.0, 86400.0)}
    sets = Sets()
    rule, hits = Rule("quick+slow", windows, sets, windows), b""
    for number in range(200):
        hits, filled = add(hits, 1000.0 * number, 1, rule)
        if number % 15 == 14:
            assert filled == [("slow", 15)]
            assert times_of(hits, sets, windows) == [("quick", 1000.0 * number)]
            assert len(hits) == ENTRY
        else:
            assert filled == []
            assert len(hits) <= 15 * ENTRY
        if number % 15 == 5:
            assert {n for _, n in iter_unpack("<dH", hits)} == {rule.number}


def test_what_two_places_held_is_put_in_order_and_what_one_held_is_parted():
    """As when the jails that share what they count are others than before."""
    windows = {"a": Window(9, 10.0), "b": Window(9, 20.0)}
    sets = Sets()
    both, one = (Rule(name, windows, sets, windows) for name in ("a+b", "a"))
    hits = add(add(b"", 1.0, 1, both)[0], 3.0, 1, one)[0]
    apart = parts(hits, sets, windows)
    assert held_by("a", apart[10.0], sets, windows) == [1.0, 3.0]
    assert held_by("b", apart[20.0], sets, windows) == [1.0]
    whole = merged(apart[10.0], apart[20.0])
    assert [at for _, at in times_of(whole, sets, windows)] == [1.0, 1.0, 3.0]
