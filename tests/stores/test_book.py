"""The book says what a model of a page says, of many at once, and keeps nothing for ever."""

import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st
from model import Model

from guard.events import Claim
from guard.lib.networks import Network, parse_network
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


_WIDE = [*NETWORKS, parse_network("192.0.2.0/24"), parse_network("2001:db8:0:1::/64")]
# One of them most of the time, so that much happens to it.
_networks = st.sampled_from([*[NETWORKS[0]] * 12, *_WIDE])
_sources = st.sampled_from(["jail:a", "jail:a", "jail:b", "feed:x", "manual"])
_lengths = st.sampled_from([None, 1.0, 30.0, 400.0])
_STEPS = st.lists(
    st.tuples(
        st.floats(0, 200),
        st.one_of(
            st.tuples(st.just("claim"), _networks, _sources, _lengths),
            st.tuples(st.just("withdraw"), st.one_of(st.none(), _networks)),
            st.tuples(st.just("replace"), st.sets(_networks), _lengths),
            st.tuples(st.just("expire")),
        ),
    ),
    max_size=25,
)


def _do(book, model, now, what, *how):
    """The same to both, which answer the same."""
    if what == "claim":
        network, source, length = how
        claim = Claim(network, source, f"{length}", now, None if length is None else now + length)
        assert book.claim(claim, now) == model.claim(claim, now)
    elif what == "withdraw":
        assert set(book.withdraw(how[0], None, now)) == set(model.withdraw(how[0], None, now))
    elif what == "replace":
        until = None if how[1] is None else now + how[1]
        claims = [Claim(network, "feed:x", "listed", now, until) for network in how[0]]
        book.replace("feed:x", claims, now)
        model.replace("feed:x", claims, now)
    else:
        book.expire(now)


@settings(deadline=None, max_examples=400)
@given(_STEPS, st.floats(0, 600))
def test_it_says_what_the_model_says(steps, later):
    """Of each network its live claims, whoever made them, and strikes that are not forgotten; of
    all how many they are. What ended is not there, whether it was let go of or not."""
    book, model, now = Book(100.0), Model(100.0), 1_757_675_281.25
    for wait, step in steps:
        now += wait
        _do(book, model, now, *step)
    now += later
    live = model.claims(now)
    found = book.pasts(_WIDE, now)
    assert [past.strikes for past in found] == [model.known_strikes(n, now) for n in _WIDE]
    for network, past in zip(_WIDE, found, strict=True):
        assert len(past.claims) == len(set(past.claims))
        assert set(past.claims) == {claim for claim in live if claim.network == network}
    claims = book.claims(now)
    assert set(claims) == live
    assert [c.since for c in claims] == sorted(c.since for c in live)
    assert book.size(now) == len(live)


@settings(deadline=None, max_examples=100)
@given(_STEPS)
def test_nothing_stays_for_ever(steps):
    """Long after the last ban has ended nothing is kept of anybody but what never ends."""
    book, model, now = Book(100.0), Model(100.0), 1_757_675_281.25
    for wait, step in steps:
        now += wait
        _do(book, model, now, *step)
    now += 9000.0
    book.expire(now)
    endless = {claim for claim in model.claims(now) if claim.until is None}
    struck = {claim.network for claim in endless if claim.source.startswith("jail:")}
    assert set(book.claims(now)) == endless
    assert {row.network for row in book.remembered()} == struck
    assert book.size(now + 1e9) == len(endless)
    book.withdraw(None, None, now)
    book.expire(now + 9000.0)
    assert (book._banned, book._past, book._turns._keys) == ({}, {}, {})


@settings(deadline=None, max_examples=100)
@given(_CLAIMS, st.integers(0, 30))
def test_what_changed_since_is_what_was_touched_since(claims, back):
    """The last so many, each network once; unknown when there were not so many."""
    book = _book(claims)
    touched = [network for network, *_ in sorted(claims, key=lambda c: c[2])]
    found = book.changed_since(book.version - back)
    assert found == (set(touched[len(touched) - back :]) if back <= len(touched) else None)


def test_a_ban_is_small():
    """Of very many each takes some 200 bytes, and its strikes less when it has ended."""
    book, now = Book(1e7), 1_757_675_281.25
    tracemalloc.start()
    try:
        for value in range(20_000):
            network, reason = Network(4, 0x0B000000 + value, 32), "5 rejections within 10m"
            claim = Claim(network, "jail:kumomta-relay", reason, now, now + 600.0 + value)
            book.claim(claim, now)
            book.drain()
        banned = tracemalloc.get_traced_memory()[0]
        book.expire(now + 30_000.0)
        book.drain()
        ended = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert book.size(now + 30_000.0) == 0
    assert len(book.remembered()) == 20_000
    assert banned < 20_000 * 240
    assert ended < 20_000 * 210
