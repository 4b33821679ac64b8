"""guard/smtp/goods.py: who is in good standing, and that the tarpit holds none of them."""

import time

from guard.lib.networks import parse_address
from guard.smtp.goods import KEPT, MOST_KNOWN, MOST_WAITING, Goods

HERE, THERE = parse_address("192.0.2.1"), parse_address("192.0.2.2")


def test_nobody_is_held_for_want_of_an_answer():
    """Until the store has said so; it is asked once, and again when the answer is old."""
    goods = Goods()
    assert goods(HERE, 1.0)
    assert goods(THERE, 1.0)
    asked = goods.waiting()
    assert set(asked) == {HERE, THERE}
    assert goods.waiting() == []
    goods.learn(asked, {THERE}, 2.0)
    assert not goods(HERE, 3.0)
    assert goods(THERE, 3.0)
    assert goods.waiting() == []
    assert not goods(HERE, 2.0 + KEPT)
    assert goods.waiting() == [HERE]
    goods.learn([HERE], {HERE}, 1000.0)
    assert goods(HERE, 1001.0)


def test_memory_is_bounded():
    """In a flood of strangers some are not asked for, and what is known is forgotten."""
    goods = Goods()
    for number in range(3 * MOST_KNOWN):
        goods(HERE._replace(value=number), 1.0)
        if number % 500 == 0:
            goods.learn(goods.waiting(), set(), 1.0)
    for number in range(5 * MOST_WAITING):
        goods(HERE._replace(value=1 << 30 | number), 1.0)
    assert len(goods.waiting()) == MOST_WAITING
    assert len(goods._known) <= MOST_KNOWN


def test_who_is_good_is_answered_at_once(listen):
    """By what is known of the address, or by what it did in the session."""
    known = set()
    server = listen(tarpit=0.3, good=lambda address, now: address in known)
    with server.connect() as client:
        began = time.monotonic()
        client.say("bogus")
        assert time.monotonic() - began > 0.25
    known.add(parse_address("127.0.0.1"))
    with server.connect() as client:
        began = time.monotonic()
        for _ in range(5):
            assert client.say("bogus").startswith("502 ")
        assert time.monotonic() - began < 0.25


def test_a_stranger_is_asked_for_as_soon_as_it_connects(listen):
    """So that its first error may be held already; only where there is a tarpit."""
    for tarpit, expected in ((1.0, [parse_address("127.0.0.1")]), (0.0, [])):
        goods = Goods()
        with listen(tarpit=tarpit, good=goods).connect():
            assert goods.waiting() == expected
