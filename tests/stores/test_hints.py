"""A hint may be wrong one way only."""

from hypothesis import given, settings
from hypothesis import strategies as st

from guard.lib.networks import Network
from guard.stores.hints import FEWEST, Hints

networks = st.lists(
    st.one_of(
        st.integers(0, 0xFFFFFFFF).map(lambda value: Network(4, value, 32)),
        st.integers(0, (1 << 64) - 1).map(lambda value: Network(6, value << 64, 64)),
    ),
    max_size=50,
)


@settings(deadline=None, max_examples=50)
@given(networks, networks, networks)
def test_what_is_there_is_likely(known, more, others):
    """What was there at first, and what came; in the order in which it was asked for."""
    hints = Hints(known)
    hints.add(more)
    asked = [*known, *others, *more]
    likely = hints.likely(asked)
    assert [network for network in asked if network in {*known, *more}] == [
        network for network in likely if network in {*known, *more}
    ]


def test_few_others_are_likely():
    """A query is spared nearly always, however many are known."""
    known = [Network(4, 0x0B000000 + number, 32) for number in range(2 * FEWEST)]
    others = [Network(4, 0x0C000000 + number, 32) for number in range(10_000)]
    for count in (0, 1000, len(known)):
        assert len(Hints(known[:count]).likely(others)) < 1500
