"""guard/smtp/sharing.py: limits that hold over all processes of a listener."""

import os

import pytest

from guard.lib.networks import parse_address
from guard.lib.shared import Shared
from guard.smtp.attempts import Attempts
from guard.smtp.limits import holder
from guard.smtp.settings import ListenerSettings
from guard.smtp.sharing import SharedGate, number

HERE, THERE = parse_address("192.0.2.1"), parse_address("192.0.2.2")


@pytest.fixture
def boards():
    """What two processes see."""
    shared = Shared.make(["x"], 2)
    yield [shared.board("x", seat) for seat in range(2)]
    os.close(shared.descriptor)


def settings(**more):
    """Listener settings with a host name."""
    return ListenerSettings(hostname="mx.example.com", **more)


def test_connections_of_an_address(boards):
    """Whichever process it comes to, the limit is the setting; what leaves one frees the other."""
    (one, two), limits = map(SharedGate, boards), settings(max_connections_per_address=3)
    met = [gate.enter(HERE, 1, 10.0, limits) for gate in (one, two, one, two, one)]
    assert met == [None, None, None, *["max_connections_per_address"] * 2]
    assert two.enter(THERE, 1, 10.0, limits) is None
    one.leave(HERE)
    assert two.enter(HERE, 1, 10.0, limits) is None
    assert one.enter(HERE, 1, 10.0, limits) == "max_connections_per_address"
    for gate, address in ((one, HERE), (two, HERE), (two, HERE), (two, THERE)):
        gate.leave(address)
    assert one.enter(HERE, 1, 10.0, limits) is None


def test_new_sessions_in_a_minute(boards):
    """Ten are ten, however they are dealt out; a refused one counts, as in one process."""
    (one, two), limits = map(SharedGate, boards), settings(max_sessions_per_minute=10)
    for turn in range(10):
        gate = (one, two)[turn % 2]
        assert gate.enter(HERE, 1, 1000.0 + turn, limits) is None
        gate.leave(HERE)
    assert one.enter(HERE, 1, 1010.0, limits) == "max_sessions_per_minute"
    assert two.enter(HERE, 1, 1010.0, limits) == "max_sessions_per_minute"
    assert two.enter(THERE, 1, 1010.0, limits) is None
    assert two.enter(HERE, 1, 1200.0, limits) is None


def test_a_tenth_is_kept_for_the_trusted(boards):
    """Strangers stop short of the connections of all processes."""
    gate, limits = SharedGate(boards[0]), settings(max_connections=100)
    assert gate.enter(HERE, 91, 0.0, limits) == "max_connections"
    assert gate.enter(HERE, 90, 0.0, limits) is None


def test_an_ipv6_network_is_one_client(boards):
    """A /64 shares its limit, over processes too."""
    (one, two), limits = map(SharedGate, boards), settings(max_connections_per_address=1)
    assert one.enter(parse_address("2001:db8::1"), 1, 0.0, limits) is None
    assert two.enter(parse_address("2001:db8::2"), 1, 0.0, limits) is not None
    assert two.enter(parse_address("2001:db8:0:1::"), 1, 0.0, limits) is None


def test_clients_are_told_apart():
    """Neither family meets the other, and nobody is nobody."""
    texts = ("0.0.0.0", "::1", "127.0.0.1", "255.255.255.255", "2001:db8::1", "::2:0:0:0:1")
    numbers = {number(holder(parse_address(text))) for text in texts}
    assert len(numbers) == len(texts)
    assert 0 not in numbers
    assert all(each < 2**64 for each in numbers)


def test_guesses_are_counted_together(boards):
    """Different ones, wherever they were made; the same one everywhere is still one."""
    one, two = (Attempts(3, 60.0, board=board) for board in boards)
    for each in (one, two, one, two):
        each.failed(HERE, "ann", "yesterday's", 1.0)
    assert not one.exhausted(HERE, 1.0)
    assert not two.exhausted(HERE, 1.0)
    one.failed(HERE, "ann", "2", 2.0)
    two.failed(HERE, "ann", "3", 2.0)
    assert one.exhausted(HERE, 2.0)
    assert two.exhausted(HERE, 2.0)
    assert not two.exhausted(THERE, 2.0)
    assert not one.exhausted(HERE, 62.0)
