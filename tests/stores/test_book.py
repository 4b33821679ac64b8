"""Asked of many at once, the book says what it says of each."""

from hypothesis import given, settings
from hypothesis import strategies as st

from guard.events import Claim
from guard.lib.networks import parse_network
from guard.stores.book import Book

NETWORKS = [parse_network(f"192.0.2.{n}") for n in range(6)]
_CLAIMS = st.lists(
    st.tuples(
        st.sampled_from(NETWORKS),
        st.sampled_from(["jail:a", "jail:b", "feed:x", "manual"]),
        st.floats(0, 500),
        st.one_of(st.none(), st.floats(1, 900)),
    ),
    max_size=20,
)


def _book(claims) -> Book:
    book = Book(100.0)
    for network, source, since, length in sorted(claims, key=lambda c: c[2]):
        until = None if length is None else since + length
        book.claim(Claim(network, source, "why", since, until), since)
    return book


@settings(deadline=None, max_examples=200)
@given(_CLAIMS, st.floats(0, 2000))
def test_many_at_once_are_as_each_alone(claims, now):
    """Live claims and strikes; those that ended or were forgotten are not there."""
    book = _book(claims)
    assert book.pasts(NETWORKS, now) == [book.past(network, now) for network in NETWORKS]


@settings(deadline=None, max_examples=100)
@given(_CLAIMS, st.integers(0, 30))
def test_what_changed_since_is_what_was_touched_since(claims, back):
    """The last so many, each network once; unknown when there were not so many."""
    book = _book(claims)
    touched = [network for network, *_ in sorted(claims, key=lambda c: c[2])]
    found = book.changed_since(book.version - back)
    assert found == (set(touched[len(touched) - back :]) if back <= len(touched) else None)
