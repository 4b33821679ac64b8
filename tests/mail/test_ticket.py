"""The account of one attempt: who is served, who is left, who is given up."""

from guard.mail.deliveryrecords import Outcome
from guard.mail.replies import failure, response
from guard.mail.resolver import Host
from guard.mail.schedule import Schedule
from guard.mail.spool import Envelope
from guard.mail.ticket import Ticket
from guard.mail.waiting import Message, State

HOST = Host("mx.test", "192.0.2.1", 25)
TAKEN, NEVER, LATER = (
    Outcome(response(code, text), HOST)
    for code, text in ((250, "2.0.0 ok"), (550, "5.1.1 no"), (451, "4.2.0 later"))
)
HOUR = Schedule(3600, None, 86400)


def ticket(jobs: int, *recipients: str, state: State | None = None) -> Ticket:
    """An attempt at a message of the beginning of time."""
    envelope = Envelope("0" * 32, "a@b", list(recipients), {}, 0.0)
    return Ticket(Message(envelope, state or State(), 0, 10), jobs)


def test_all_served():
    """Nothing is left: the message may go, and nobody is told."""
    one = ticket(1, "x", "y")
    assert one.note({"x": TAKEN, "y": TAKEN})
    assert one.open_jobs == 0
    verdict = one.close(HOUR, 10.0, 0.5)
    assert (verdict.state, verdict.expired, verdict.failures) == (None, {}, ())


def test_some_of_each():
    """Served ones are done, refused ones are told of, the rest is tried again."""
    one = ticket(2, "x", "y", "z")
    assert one.note({"x": TAKEN, "y": NEVER})
    # What is written between two jobs keeps the refused one: a crash must not lose the bounce.
    assert one.interim().left == ["y", "z"]
    assert not one.note({"z": LATER})
    verdict = one.close(HOUR, 10.0, 0.5)
    assert verdict.state == State(attempts=1, due=3610.0, left=["z"], last="451 4.2.0 later")
    (told,) = verdict.failures
    assert (told.recipient, told.host, told.expired) == ("y", "mx.test", False)


def test_the_second_attempt_waits_twice_as_long():
    """And knows who is left."""
    one = ticket(1, "x", "y", state=State(attempts=1, left=["y"]))
    one.note({"y": LATER})
    verdict = one.close(HOUR, 3610.0, 0.5)
    assert verdict.state is not None
    assert (verdict.state.attempts, verdict.state.due) == (2, 3610.0 + 7200)


def test_expired():
    """When the next attempt would be too late, it is given up, with KumoMTA's code."""
    one = ticket(1, "x")
    one.note({"x": LATER})
    verdict = one.close(HOUR, 86000.0, 0.5)
    assert verdict.state is None
    said = verdict.expired["x"].response
    assert said.code == 551
    assert said.enhanced_code is not None
    assert (said.enhanced_code.subject, said.enhanced_code.detail) == (4, 7)
    assert said.content.startswith("Next delivery time 1970-01-02T00:53:20Z")
    (told,) = verdict.failures
    assert told.expired
    assert told.response == LATER.response


def test_a_recipient_twice_is_one():
    """The envelope may name somebody twice."""
    one = ticket(1, "x", "x")
    one.note({"x": TAKEN})
    assert one.close(HOUR, 1.0, 0.5).state is None


def test_no_conversation_has_no_host():
    """A reason of our own is nobody's word."""
    one = ticket(1, "x")
    one.note({"x": Outcome(failure(556, (5, 1, 10), "null MX"))})
    (told,) = one.close(HOUR, 1.0, 0.5).failures
    assert told.host == ""
