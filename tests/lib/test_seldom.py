"""A log that strangers cannot fill."""

from guard.lib.seldom import Seldom


def test_the_first_is_said_at_once_and_the_others_are_counted():
    """One line now, one line later with the number between them."""
    said = []
    seldom = Seldom(said.append, 10.0)
    for second in range(10):
        seldom.tell("hook", f"hook failed at {second}", float(second))
    assert said == ["hook failed at 0"]
    seldom.tell("hook", "hook failed at 10", 10.0)
    assert said[1:] == ["hook failed at 10 (and 9 times more)"]
    seldom.tell("hook", "hook failed at 30", 30.0)
    assert said[2:] == ["hook failed at 30"]


def test_kinds_do_not_hide_each_other():
    """And a clock that was set back hides nothing for long."""
    said = []
    seldom = Seldom(said.append)
    seldom.tell("a", "a", 100.0)
    seldom.tell("b", "b", 100.0)
    seldom.tell("a", "a again", 5.0)
    assert said == ["a", "b", "a again"]


def test_memory_is_bounded():
    """However many kinds there are against all expectation."""
    seldom = Seldom(lambda message: None)
    for number in range(10_000):
        seldom.tell(str(number), "x", 0.0)
    assert len(seldom._said) <= 64
