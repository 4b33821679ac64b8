"""Accepted mail vouches for its sender only when it was not refused after all."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.events import Acceptance, Good, Kind, Rejection
from guard.lib.networks import parse_address
from guard.protect.doubt import Doubt

A, B = "192.0.2.1", "192.0.2.2"


def mail(time: float, address: str = A) -> Acceptance:
    """A message was taken."""
    return Acceptance(time, address, "mail")


def denied(time: float, address: str = A, kind: Kind = Kind.RELAY_DENIED) -> Rejection:
    """Something was refused."""
    return Rejection(time, address, kind)


def good(time: float, address: str = A, how: str = "mail") -> Good:
    """What should come of it."""
    return Good(parse_address(address), time, how)


def sure(doubt: Doubt, *events, now: float | None = None) -> list[Good]:
    """What is sure after these events."""
    return doubt.sure(events, parse_address, now)


def test_mail_is_sure_after_a_while():
    """Live by the clock, in a replay by the log's own time."""
    doubt = Doubt(hold=300)
    assert sure(doubt, mail(1000), now=1001) == []
    assert sure(doubt, now=1300) == []
    assert sure(doubt, now=1301) == [good(1000)]
    assert sure(doubt, mail(1), now=1400) == [], "an old log is not believed sooner"
    assert sure(doubt, now=1700) == [good(1)]
    assert sure(doubt, now=9999) == []
    old = Doubt(hold=300)
    assert sure(old, mail(2000), mail(2100, B)) == []
    assert sure(old, denied(2350, B, Kind.SYNTAX_ERROR)) == [good(2000)]


def test_logins_and_deliveries_are_sure_at_once():
    """Nothing is refused after those."""
    events = [Acceptance(1000, A, "auth"), Acceptance(1001, B, "delivery")]
    assert sure(Doubt(), *events) == [good(1000, A, "auth"), good(1001, B, "delivery")]


@pytest.mark.parametrize("apart", [0.0, -4.9, 4.9])
@pytest.mark.parametrize("first", ["mail", "denied"])
def test_mail_that_was_refused_after_all_vouches_for_nobody(apart, first):
    """Whichever is read first, from the same file or another, at once or in another batch."""
    events = [mail(1000), denied(1000 + apart)]
    doubt = Doubt()
    for event in events if first == "mail" else reversed(events):
        assert sure(doubt, event, now=1010) == []
    assert sure(doubt, now=99999) == []


def test_other_mail_and_other_peers_are_not_doubted():
    """A refusal minutes away, of another kind or of another address, takes nothing back."""
    doubt = Doubt()
    sure(doubt, mail(1000), denied(1100), denied(1000, A, Kind.SYNTAX_ERROR), denied(1000, B))
    assert sure(doubt, now=99999) == [good(1000)]


def test_what_could_not_be_told_is_told_again():
    """A store that was away loses nobody's good standing."""
    doubt = Doubt()
    sure(doubt, mail(1000), mail(1001, B))
    found = sure(doubt, now=5000)
    doubt.keep(found)
    assert sure(doubt, now=5000) == found == [good(1000), good(1001, B)]


def test_an_ipv6_sender_is_told_as_its_network():
    """Sessions are of addresses, standing is of networks."""
    doubt, network = Doubt(), parse_address("2001:db8:1:2::").supernet(64)

    def key(text: str):
        return parse_address(text).supernet(64)

    events = [mail(1000, "2001:db8:1:2::7"), mail(1000, "2001:db8:1:2::8")]
    assert doubt.sure([*events, denied(1001, "2001:db8:1:2::8")], key, 1010) == []
    found = doubt.sure([], key, 5000)
    doubt.keep(found)
    assert doubt.sure([], key, 5000) == found == [Good(network, 1000, "mail")]


def test_memory_is_bounded():
    """A flood of senders costs the oldest their standing, not the machine its memory."""
    doubt = Doubt(most=10)
    for number in range(1000):
        sure(doubt, mail(1000 + number / 1000, f"198.51.100.{number % 250}"), now=1001)
        sure(doubt, denied(1, f"203.0.113.{number % 250}"), now=1001)
        assert len(doubt._held) <= len(doubt._due) <= 10
        assert len(doubt._refused) <= 11
        assert len(doubt._last["mail"]) <= 10
    assert len(sure(doubt, now=9999)) == 10


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.floats(0, 2000), st.booleans()), max_size=40))
def test_no_order_of_events_vouches_for_the_refused(steps):
    """However they are mixed: mail within seconds of a refusal never counts."""
    doubt = Doubt()
    found: list[Good] = []
    for time, taken in steps:
        found += sure(doubt, mail(time) if taken else denied(time), now=2000)
    found += sure(doubt, now=99999)
    last = [time for time, taken in steps if not taken][-1:]
    times = {time for time, taken in steps if taken}
    assert {item.time for item in found} <= times
    assert not [item for item in found if any(abs(item.time - time) < 5 for time in last)]
