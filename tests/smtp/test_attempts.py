"""guard/smtp/attempts.py: guesses are counted, not repetitions, and not for ever."""

from guard.lib.networks import parse_address
from guard.smtp.attempts import Attempts

HERE, THERE = parse_address("192.0.2.1"), parse_address("192.0.2.2")


def test_different_guesses_exhaust_an_address():
    """At the limit no further guess is allowed, until the window has passed."""
    attempts = Attempts(3, 60.0)
    for number in range(3):
        assert not attempts.exhausted(HERE, 0.0)
        attempts.failed(HERE, "ann", str(number), float(number))
    assert attempts.exhausted(HERE, 3.0)
    assert not attempts.exhausted(THERE, 3.0)
    assert attempts.exhausted(HERE, 59.9)
    assert not attempts.exhausted(HERE, 60.0)


def test_the_same_guess_is_one():
    """A device with an old password does not lock its owner's network out."""
    attempts = Attempts(3, 60.0)
    for _ in range(100):
        attempts.failed(HERE, "ann", "yesterday's", 0.0)
    assert not attempts.exhausted(HERE, 0.0)


def test_user_and_password_are_told_apart():
    """`ab` with `c` is another guess than `a` with `bc`."""
    attempts = Attempts(2, 60.0)
    attempts.failed(HERE, "ab", "c", 0.0)
    attempts.failed(HERE, "a", "bc", 0.0)
    assert attempts.exhausted(HERE, 0.0)


def test_an_ipv6_network_is_one_address():
    """Whoever has a /64 has 2**64 addresses to guess from."""
    attempts = Attempts(2, 60.0)
    attempts.failed(parse_address("2001:db8::1"), "a", "1", 0.0)
    attempts.failed(parse_address("2001:db8::2"), "a", "2", 0.0)
    assert attempts.exhausted(parse_address("2001:db8::3"), 0.0)
    assert not attempts.exhausted(parse_address("2001:db8:0:1::1"), 0.0)


def test_memory_is_bounded():
    """Neither addresses nor the guesses of one are kept beyond what is needed."""
    attempts = Attempts(3, 60.0, size=10)
    for number in range(1000):
        attempts.failed(parse_address(f"198.51.100.{number % 200}"), "a", str(number), 0.0)
        attempts.failed(HERE, "a", str(number), 0.0)
    assert len(attempts._guesses) == 10
    assert all(len(guesses) <= 3 for guesses in attempts._guesses.values())
