"""The next item is fetched while the last is in use."""

import threading

import pytest

from guard.lib.ahead import ahead


def test_in_order_and_one_ahead():
    """The second is asked for before the caller is done with the first, in another thread."""
    asked: list[tuple[int, bool]] = []
    second = threading.Event()

    def items():
        for number in range(3):
            asked.append((number, threading.current_thread() is threading.main_thread()))
            if number == 1:
                second.set()
            yield number

    coming = ahead(items())
    assert next(coming) == 0
    assert second.wait(10)
    assert list(coming) == [1, 2]
    assert asked == [(0, False), (1, False), (2, False)]


def test_an_error_comes_in_its_place():
    """After what was there before it."""

    def items():
        yield 1
        raise ValueError("broken")

    coming = ahead(items())
    assert next(coming) == 1
    with pytest.raises(ValueError, match="broken"):
        next(coming)
