"""Counting once: what is one step of the counters, and what is settled when."""

from guard.events import Batch, Mark, Offence, Overflow, Part, Window
from guard.jails.once import Once
from guard.lib.networks import parse_network

A = parse_network("192.0.2.1")
WINDOWS = {"relay": Window(2, 600.0)}
OFFENCES = [Offence("relay", A, 1.0)]
FULL = Overflow("relay", A, 1.0, 2)


class Plain:
    """Counters that know no marks; `asked` is what they were asked."""

    def __init__(self, *told):
        self.asked, self.told = [], list(told)

    def count(self, offences, windows):
        self.asked.append((list(offences), windows))
        return self.told.pop(0) if self.told else []

    def counted(self, network):
        return []

    forget = close = counted


class Exact(Plain):
    """Those that do."""

    left = ()

    def count_once(self, batch):
        self.asked.append(batch)
        return self.told.pop(0) if self.told else []

    def mark(self, source):
        return b"place"

    def unsettled(self):
        return list(self.left)


def test_a_batch_is_one_step_where_the_counters_can():
    """All parts with the mark; others count one after another."""
    for counters, asked in (
        (Exact(), [Batch((Part(OFFENCES, WINDOWS),) * 2, Mark("x", b"1"))]),
        (Plain(), [(OFFENCES, WINDOWS)] * 2),
    ):
        parts = [Part(OFFENCES, WINDOWS)] * 2
        assert Once(counters).count(parts, Mark("x", b"1")) == []
        assert (parts, counters.asked) == ([], asked)


def test_a_batch_without_offences_still_moves_the_mark():
    """Else its source would begin before it after a crash."""
    counters = Exact()
    Once(counters).count([], Mark("x", b"1"))
    Once(counters).count([], None)
    assert counters.asked == [Batch((), Mark("x", b"1"))]


def test_settled_is_said_once_and_only_of_what_was_told():
    """With what the bans count, or by itself."""
    counters = Exact([FULL], [FULL], [])
    once = Once(counters)
    once.count([Part(OFFENCES, WINDOWS)], None)
    assert once.count_on(OFFENCES, WINDOWS) == [FULL]
    once.settle()
    once.settle()
    assert [batch.settled for batch in counters.asked] == [False, True, True]
    assert counters.asked[-1] == Batch(settled=True)


def test_nothing_is_settled_while_something_is_left_from_before():
    """A kill then still finds it."""
    counters = Exact()
    counters.left = [FULL]
    once = Once(counters)
    assert once.left() == [FULL]
    once.count_on(OFFENCES, WINDOWS)
    once.settle()
    assert [batch.settled for batch in counters.asked] == [False]
    once.recovered()
    once.settle()
    assert counters.asked[-1] == Batch(settled=True)
    assert (once.mark("x"), Once(Plain()).mark("x"), Once(Plain()).left()) == (b"place", None, [])
