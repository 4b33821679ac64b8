"""Which message is tried when."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from guard.mail.agenda import Agenda
from guard.mail.spool import new_id

OLD = 1000 * 10**9  # a stamp that is long past


def test_new_messages_are_due_at_once_the_oldest_first():
    """In the order of their ids."""
    agenda = Agenda()
    agenda.update(["b", "a", "c"], OLD, 2000.0)
    assert [agenda.pop(1.0) for _ in range(4)] == ["a", "b", "c", None]
    assert agenda.open == 3
    assert agenda.is_open("a")


def test_what_is_scheduled_waits():
    """Until its time; infinity is never."""
    agenda = Agenda()
    agenda.update(["a", "b"], OLD, 2000.0)
    agenda.pop(1.0)
    agenda.pop(1.0)
    agenda.schedule("a", 10.0)
    agenda.schedule("b", float("inf"))
    assert agenda.pop(9.9) is None
    assert agenda.pop(10.0) == "a"
    assert agenda.pop(1e12) is None
    agenda.schedule("b", 0.0)
    assert agenda.pop(1.0) == "b"


def test_what_is_known_is_not_new():
    """Open, parked and waiting messages are left alone by a new listing; gone ones go."""
    agenda = Agenda()
    agenda.update(["a", "b", "c"], OLD, 2000.0)
    agenda.pop(1.0)
    agenda.pop(1.0)
    agenda.park("b")
    agenda.update(["a", "b"], OLD, 2000.0)
    assert len(agenda) == 2
    assert agenda.pop(1.0) is None
    agenda.schedule("b", 0.0)
    assert agenda.pop(1.0) == "b"
    agenda.forget("a")
    agenda.forget("b")
    assert (len(agenda), agenda.open) == (0, 0)


def test_a_fresh_stamp_is_not_trusted():
    """Another file may have come in the same tick of the file system's clock."""
    agenda = Agenda()
    assert not agenda.seen(OLD)
    agenda.update([], OLD, 1000.5)
    assert not agenda.seen(OLD)
    agenda.update([], OLD, 1002.0)
    assert agenda.seen(OLD)
    assert not agenda.seen(OLD + 1)


def test_the_oldest():
    """An id begins with its time."""
    agenda = Agenda()
    assert agenda.oldest(5000.0) == 0
    ids = [new_id(1000.0), new_id(2000.0), new_id(3000.0)]
    agenda.update(ids, OLD, 5000.0)
    assert agenda.oldest(5000.0) == 4000
    assert agenda.pop(1.0) == ids[0]
    assert agenda.oldest(5000.0) == 4000
    agenda.park(ids[0])
    assert agenda.oldest(5000.0) == 4000
    agenda.forget(ids[0])
    assert agenda.oldest(5000.0) == 3000


class Machine(RuleBasedStateMachine):
    """Any order of events: no message is lost, and none is open twice."""

    def __init__(self) -> None:
        super().__init__()
        self.agenda, self.files, self.now = Agenda(), set(), 0.0
        self.open: set[str] = set()
        self.parked: set[str] = set()
        self.count = 0

    @rule()
    def arrive(self) -> None:
        """A message is spooled."""
        self.count += 1
        self.files.add(f"{self.count:012x}{'0' * 20}")

    @rule()
    def look(self) -> None:
        """The folder is listed."""
        self.agenda.update(self.files, OLD, 1e9)

    @rule(seconds=st.floats(0, 100))
    def wait(self, seconds: float) -> None:
        """Time goes by, and everything due is opened."""
        self.now += seconds
        while (id_ := self.agenda.pop(self.now)) is not None:
            assert id_ not in self.open
            self.open.add(id_)

    @rule(how=st.sampled_from(["gone", "later", "park"]), seconds=st.floats(0, 100))
    def end(self, how: str, seconds: float) -> None:
        """One that is open ends."""
        if self.open:
            id_ = min(self.open)
            self.open.discard(id_)
            if how == "gone":
                self.files.discard(id_)
                self.agenda.forget(id_)
            elif how == "later":
                self.agenda.schedule(id_, self.now + seconds)
            else:
                self.agenda.park(id_)
                self.parked.add(id_)

    @rule()
    def unpark(self) -> None:
        """There is room again."""
        if self.parked:
            self.agenda.schedule(self.parked.pop(), 0.0)

    @invariant()
    def counts(self) -> None:
        """What is open here is open there."""
        assert self.agenda.open == len(self.open)
        assert len(self.agenda) <= len(self.files)

    def teardown(self) -> None:
        """In the end every file that is left is opened."""
        self.look()
        while self.parked:
            self.unpark()
        self.wait(1000)
        assert self.open == self.files


TestMachine = Machine.TestCase
TestMachine.settings = settings(deadline=None, max_examples=60)


@given(st.lists(st.floats(0, 10), max_size=20))
@settings(deadline=None)
def test_order_is_by_time(times: list[float]):
    """The earliest first."""
    agenda = Agenda()
    for number, due in enumerate(times):
        agenda.schedule(f"{number:032x}", due)
    popped = []
    while (id_ := agenda.pop(10.0)) is not None:
        popped.append(times[int(id_, 16)])
    assert popped == sorted(times)
