"""guard/smtp/deadlines.py: one timer for all, nobody early, nobody forgotten."""

import heapq
import itertools

from hypothesis import given
from hypothesis import strategies as st

from guard.smtp.deadlines import Deadlines


class Hands:
    """The timers of an event loop, with the clock's hands moved by the test."""

    def __init__(self):
        self.now, self._heap, self._order, self.made = 0.0, [], itertools.count(), 0

    def time(self):
        return self.now

    def call_at(self, when, callback):
        self.made += 1
        entry = [when, next(self._order), callback]
        heapq.heappush(self._heap, entry)

        class Handle:
            def cancel(self):
                entry[2] = lambda: None

        return Handle()

    def turn(self, until):
        """Moves on to `until`, calling what is due on the way."""
        while self._heap and self._heap[0][0] <= until:
            when, _, callback = heapq.heappop(self._heap)
            self.now = max(self.now, when)
            callback()
        self.now = until


class Guest:
    """Notes when it was looked at, and asks again `more` times."""

    def __init__(self, hands, deadlines, wait=1.0, more=0):
        self.slot, self.seen, self.more = 0, [], more
        self.hands, self.deadlines, self.wait = hands, deadlines, wait

    def look(self):
        self.seen.append(self.hands.now)
        if self.more:
            self.more -= 1
            self.deadlines.add(self, self.hands.now + self.wait)


@given(st.lists(st.tuples(st.floats(0, 50), st.integers(0, 3), st.booleans()), max_size=30))
def test_everybody_once_and_in_time(waits):
    """Each `add` is one look, at most a tick late and never early; who was dropped gets none."""
    hands = Hands()
    deadlines = Deadlines(hands)
    guests = []
    for wait, more, dropped in waits:
        guest = Guest(hands, deadlines, wait, more)
        deadlines.add(guest, wait)
        guests.append((guest, dropped))
    for guest, dropped in guests:
        if dropped:
            deadlines.drop(guest)
    for second in range(220):
        hands.turn(float(second))
    for (guest, dropped), (wait, more, _) in zip(guests, waits, strict=True):
        assert len(guest.seen) == (0 if dropped else 1 + more)
        for before, seen in itertools.pairwise([0.0, *guest.seen]):
            assert -1e-6 < seen - before - wait < 0.11


def test_thousands_cost_one_timer():
    """All who come within a tick share a timer, and whoever leaves needs none."""
    hands = Hands()
    deadlines = Deadlines(hands)
    guests = [Guest(hands, deadlines) for _ in range(5000)]
    for guest in guests:
        deadlines.add(guest, 60.0)
    for guest in guests[1:]:
        deadlines.drop(guest)
    hands.turn(100.0)
    assert hands.made == 1
    assert [len(guest.seen) for guest in guests[:2]] == [1, 0]


def test_nobody_is_looked_at_after_the_end():
    """Closed, it keeps nobody and calls nobody; dropping who waits no longer does nothing."""
    hands = Hands()
    deadlines = Deadlines(hands)
    guest = Guest(hands, deadlines)
    deadlines.add(guest, 1.0)
    deadlines.close()
    deadlines.drop(guest)
    deadlines.close()
    hands.turn(10.0)
    assert guest.seen == []
