"""Values of few bytes hold what the windows hold, and fill when they do."""

from hypothesis import given, settings
from hypothesis import strategies as st

from guard.events import Window
from guard.jails.window import Rule, Sets, add, pack, times_of
from guard.stores.small import SIZE, counted, hits_of, one_more, value_of

NOW = 1_757_675_281.4123456
thresholds = st.builds(Window, st.integers(1, 16), st.sampled_from([0.5, 600.0, 259200.0, 1e9]))
steps = st.lists(
    st.tuples(
        st.sampled_from(["a", "a+b", "a+b", "a+b"]),
        st.sampled_from([-700.0, -0.25, 0.0, 1e-6, 0.3, 200.0, 86400.0, 1e6]) | st.floats(0, 900),
        st.sampled_from([1, 1, 1, 1, 2]),
    ),
    max_size=60,
)


@settings(deadline=None, max_examples=400)
@given(steps, thresholds, thresholds, st.sampled_from([NOW, 0.0, 5.25, -50.0, 1e300]))
def test_a_value_counts_as_its_hits_do(history, one, other, start):
    """Whatever comes, and in whatever order, the same fills and the same is held in the windows."""
    sets, windows, time = Sets(), {"a": one, "b": other}, start
    rules = {name: Rule(name, windows, sets, windows) for name in ("a+b", "a")}
    usual, hits, value = rules["a+b"].number, b"", None
    for name, step, rejections in history:
        time, rule = time + step, rules[name]
        hits, filled = add(hits, time, rejections, rule)
        new = one_more(value, time, rule, usual) if rejections == 1 else None
        found = []
        if new is None:
            new, found = counted(value, time, rejections, rule, usual)
        value = new
        assert found == filled
        held = b"" if value is None else hits_of(value, usual)
        assert times_of(held, sets, windows) == times_of(hits, sets, windows)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_no_bit_of_a_time_is_lost(times):
    """Hits become a value and the same hits again, whatever the times are."""
    hits = b"".join(pack(time, 1) for time in sorted(times))
    for usual in (-1, 1, 2):
        assert hits_of(value_of(hits, usual), usual) == hits


def test_a_value_does_not_grow():
    """One rejection is a time; from the second to the fourteenth the size is the same."""
    hits = b"".join(pack(NOW + 8640.0 * number, 1) for number in range(20))
    assert value_of(hits[:10], 1) == NOW
    sizes = {len(value_of(hits[: 10 * number], 1)) for number in range(2, 15)}
    assert sizes == {SIZE}
    assert value_of(hits, 1) == hits
